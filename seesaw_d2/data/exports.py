"""From what labelling tools export as COCO to two annotation files and the lines of a config.

What the tools do otherwise than COCO, and what becomes of it here: docs/own-data.md.
"""

import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import yaml

from seesaw_d2.data.annotations import read_annotations
from seesaw_d2.data.files import first_few, load_json_object
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.atomic import write_text

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass
class PreparedExport:
    """What ``prepare_export`` has written and found."""

    config: Path
    num_images: dict[str, int]
    # name -> images with it, in training and in validation
    category_images: dict[str, tuple[int, int]]
    # what was put right, a line each
    notes: list[str] = field(default_factory=list)


def prepare_export(
    export: Path, output: Path, *, images: Path | None = None, val: Path | None = None, val_share: float = 0.2, seed=0
) -> PreparedExport:
    """Write ``train.json``, ``val.json`` and ``dataset.yaml`` (the config's lines about the data) into ``output``.

    Args:
        export: the annotation file in COCO's format.
        output: folder; the data set's name is its own. Files of these names in it are replaced.
        images: folder below which the images lie; default: that of ``export``.
        val: the annotation file of the validation images, where the export has one; else ``export`` is split.
        val_share: in (0, 1), of the images.
        seed: of the split.

    Raises:
        ConfigError: ``val_share`` or a folder is wrong.
        DataError: an annotation file is wrong, or an image file is missing or ambiguous. Nothing is written.
        OutputError: ``output`` cannot be written.
    """
    if not 0 < val_share < 1:
        raise ConfigError(f"--val-share: expected a number between 0 and 1, found {val_share}")
    root = Path(images) if images else Path(export).parent
    if not root.is_dir():
        raise ConfigError(f"--images: expected a folder, found {root}")
    paths = [export, val] if val else [export]
    files = [load_json_object(str(path)) for path in paths]
    for path, data in zip(paths, files, strict=True):
        _check_lists(data, path)
    notes: list[str] = []
    categories = _categories(files, notes)
    for path, data in zip(paths, files, strict=True):
        _find_images(data, root, Path(path).parent, notes)
    parts = files if val else _split(files[0], val_share, seed)
    parts = [{**part, "categories": categories} for part in parts]
    names = ("train", "val")
    sources = [str(path) for path in paths] if val else [f"{export}, its {name} part" for name in names]
    checked = {
        name: _checked(part, output / f"{name}.json", source)
        for name, part, source in zip(names, parts, sources, strict=True)
    }
    for name, text in checked.items():
        write_text(output / f"{name}.json", text)
    config = _write_config(output, root, parts, notes)
    found = [_images_by_category(part) for part in parts]
    counts = {item["name"]: (len(found[0][item["id"]]), len(found[1][item["id"]])) for item in categories}
    sizes = {name: len(part["images"]) for name, part in zip(names, parts, strict=True)}
    return PreparedExport(config, sizes, counts, notes)


def _check_lists(data: dict[str, Any], path: Path) -> None:
    for key in ("images", "annotations", "categories"):
        entries = data.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f'{path}: expected "{key}", a list of objects as in COCO\'s format')


def _categories(files: list[dict[str, Any]], notes: list[str]) -> list[dict[str, Any]]:
    """Those that objects can have: without the root that Roboflow puts first, a supercategory with no object."""
    categories = files[0]["categories"]
    if any(data["categories"] != categories for data in files):
        raise DataError("the two annotation files have other categories; expected the same in both")
    used = {item.get("category_id") for data in files for item in data["annotations"]}
    parents = {item.get("supercategory") for item in categories if item.get("supercategory") != item.get("name")}
    roots = [item for item in categories if item.get("id") not in used and item.get("name") in parents]
    if roots:
        notes.append(f"left out, as supercategories without objects: {first_few(item['name'] for item in roots)}")
    return [item for item in categories if item not in roots]


def _find_images(data: dict[str, Any], root: Path, beside: Path, notes: list[str]) -> None:
    """Replace each ``file_name`` by the path below ``root`` of the file that it means."""
    known = defaultdict(list)
    for path in root.rglob("*"):
        if path.suffix.lower() in _SUFFIXES:
            known[path.name].append(path.relative_to(root))
    missing, ambiguous, changed = [], [], 0
    for image in data["images"]:
        name = str(image.get("file_name", ""))
        parts = PurePosixPath(unquote(name.partition("?")[0]).replace("\\", "/")).parts or ("",)
        candidates = known.get(parts[-1], []) or known.get(PurePosixPath(name).name, [])
        best = _nearest(candidates, parts, root, beside)
        if not candidates:
            missing.append(name)
        elif best is None:
            ambiguous.append(name)
        else:
            changed += best.as_posix() != name
            image["file_name"] = best.as_posix()
    for names, problem in ((missing, "no such file"), (ambiguous, "several files of this name")):
        if names:
            raise DataError(
                f"images below {root}: {problem} for {len(names)} of {len(data['images'])}: {first_few(names)}"
            )
    if changed:
        notes.append(f"{changed} file names are now paths below {root}")


def _nearest(candidates: list[Path], parts: tuple[str, ...], root: Path, beside: Path) -> Path | None:
    """The one candidate with the longest common end, or among equals the one beside the annotation file."""
    if len(candidates) < 2:
        return candidates[0] if candidates else None

    def common(path: Path) -> int:
        pairs = zip(reversed(path.parts), reversed(parts), strict=False)
        return next((index for index, (left, right) in enumerate(pairs) if left != right), len(path.parts))

    longest = max(map(common, candidates))
    best = [path for path in candidates if common(path) == longest]
    if len(best) > 1:
        best = [path for path in best if beside in (root / path).parents]
    return best[0] if len(best) == 1 else None


def _images_by_category(data: dict[str, Any]) -> dict[Any, set]:
    found = defaultdict(set)
    for item in data["annotations"]:
        if not item.get("iscrowd"):
            found[item.get("category_id")].add(item.get("image_id"))
    return found


def _split(data: dict[str, Any], share: float, seed: int) -> list[dict[str, Any]]:
    """Training and validation. The rarest category chooses first; none loses its last training image."""
    ids = [image.get("id") for image in data["images"]]
    random.Random(seed).shuffle(ids)
    groups = _images_by_category(data)
    left = {category: len(images) for category, images in groups.items()}
    held: dict[Any, list] = defaultdict(list)
    for category, images in groups.items():
        for image in images:
            held[image].append(category)
    chosen: set = set()
    for group in [*sorted(groups.values(), key=len), set(ids)]:
        wanted = round(share * len(group)) or int(len(group) > 1)
        for image in (image for image in ids if image in group and image not in chosen):
            if len(chosen & group) >= wanted:
                break
            if all(left[category] > 1 for category in held[image]):
                chosen.add(image)
                for category in held[image]:
                    left[category] -= 1
    parts = []
    for inside in (False, True):
        kept = [image for image in data["images"] if (image.get("id") in chosen) is inside]
        objects = [item for item in data["annotations"] if (item.get("image_id") in chosen) is inside]
        parts.append({**data, "images": kept, "annotations": objects})
    return parts


def _checked(part: dict[str, Any], path: Path, source: str) -> str:
    """The text for ``path``, after it was read as a training would; what is wrong is said of ``source``."""
    text, trial = json.dumps(part), path.with_name(f".{path.name}")
    write_text(trial, text)
    try:
        read_annotations(str(trial), "coco")
    except DataError as error:
        raise DataError(str(error).replace(str(trial), source)) from error
    finally:
        trial.unlink()
    return text


def _write_config(output: Path, root: Path, parts: list[dict[str, Any]], notes: list[str]) -> Path:
    objects = [item for part in parts for item in part["annotations"] if not item.get("iscrowd")]
    kinds = Counter(type(item.get("segmentation") or None).__name__ for item in objects)
    base = output.resolve().name
    names = [f"{base}_{split}" for split in ("train", "val")]
    entries = [
        {"NAME": name, "JSON": str(output / f"{split}.json"), "IMAGES": str(root), "FORMAT": "coco"}
        for name, split in zip(names, ("train", "val"), strict=True)
    ]
    model: dict[str, Any] = {"ROI_HEADS": {"NUM_CLASSES": len(parts[0]["categories"])}}
    if kinds["NoneType"]:
        model["MASK_ON"] = False
        notes.append(
            f"{kinds['NoneType']} of {len(objects)} objects have no mask: MODEL.MASK_ON is False, boxes are trained"
        )
    config: dict[str, Any] = {
        "DATASETS": {"REGISTER": entries, "TRAIN": [names[0]], "TEST": [names[1]]},
        "MODEL": model,
    }
    if kinds["dict"]:
        config["INPUT"] = {"MASK_FORMAT": "bitmask"}
        notes.append(f"{kinds['dict']} masks are run-length encoded: INPUT.MASK_FORMAT is bitmask")
    path = output / "dataset.yaml"
    write_text(path, "# Written by datasets/prepare_export.py.\n" + yaml.safe_dump(config, sort_keys=False))
    return path
