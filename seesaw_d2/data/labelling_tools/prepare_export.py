"""Convert a labelling tool's COCO export to two annotation files and a config.

docs/own-data.md lists the tools' deviations from COCO and their handling.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seesaw_d2.data.images.image_files import same_content, shared_files
from seesaw_d2.data.images.lookup import describe_near, near_files
from seesaw_d2.data.labelling_tools.exported_images import check_images, find_images, look_at_other_files
from seesaw_d2.data.labelling_tools.exported_objects import checked_categories, look_at_empty_images
from seesaw_d2.data.labelling_tools.exported_parts import PURPOSES, Part, check_any_usable, checked_part, split
from seesaw_d2.data.labelling_tools.image_name_matching import ExportedFiles
from seesaw_d2.data.records.annotation_files import parse_annotations
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.own_files import check_replaceable, holds_other
from seesaw_d2.utils.plain_values import plain_problem

SPLITS = ("train", "val")
CONFIG = "dataset.yaml"
_MARK = "# Written by datasets/prepare_export.py."
_OF_EMPTY_IMAGES = ("They are not trained on", "All detections in them count as false positives")


@dataclass
class PreparedExport:
    """The result of ``prepare_export``."""

    config: Path
    num_images: dict[str, int]
    # category name -> numbers of images with it in training and in validation
    category_images: dict[str, tuple[int, int]]
    # corrections and possible mistakes, one line each
    notes: list[str] = field(default_factory=list)


def prepare_export(
    export: Path,
    output: Path,
    *,
    images: Path | None = None,
    val: Path | None = None,
    val_share: float = 0.2,
    seed: int = 0,
    skip_bad_images: bool = False,
    allow_overlap: bool = False,
    overwrite: bool = False,
) -> PreparedExport:
    """Write ``train.json``, ``val.json`` and ``dataset.yaml`` (the data part of a config) to ``output``.

    Args:
        export: the annotation file in COCO's format.
        output: output folder. Its name becomes the name of the data set.
        images: folder with the images at any depth. None: the folder of ``export``.
        val: the annotation file of the validation images. None: ``export`` is split.
        val_share: share of images for validation, in (0, 1).
        seed: seed of the split.
        skip_bad_images: whether to omit images that are missing or cannot be decoded.
        allow_overlap: whether to accept validation images that are also training images.
        overwrite: whether to replace another data set in ``output``.

    Raises:
        ConfigError: ``val_share``, a file or a folder is invalid, or ``output`` contains another data set.
        DataError: an annotation file is invalid; an image file is missing, ambiguous, cannot be decoded or does not
            have the annotated size; ``val`` has training images; no object is left for training or evaluation; or the
            images cannot be split. Nothing is written.
        OutputError: ``output`` cannot be written.
    """
    paths = _checked_paths(export, val, val_share)
    root = _checked_root(Path(images) if images else Path(export).parent)
    _check_output(output, paths)
    check_replaceable(output / CONFIG, _MARK, "a config of this program")
    files = [_read_export(path) for path in paths]
    notes: list[str] = []
    sources = [str(path) for path in paths]
    categories = checked_categories(files, sources, notes)
    _find_and_check_images(files, paths, root, output, notes, skip=skip_bad_images)
    if val:
        _check_overlap(files, root, notes, allowed=allow_overlap)
    parts = [
        checked_part({**data, "categories": categories}, source, notes)
        for data, source in zip(files, sources, strict=True)
    ]
    for part, source, purpose in zip(parts, sources, PURPOSES, strict=False):
        check_any_usable(part, source, purpose)
    if not val:
        parts = list(split(parts[0], val_share, seed, _copies(parts[0].data, root, notes), str(export)))
        sources = [f"{export}, its {name} part" for name in SPLITS]
    for part, source, consequence in zip(parts, sources, _OF_EMPTY_IMAGES, strict=True):
        look_at_empty_images(part.data, source, consequence, notes)
    _write_parts(output, parts, overwrite=overwrite)
    config = _write_config(output, root, parts, notes)
    found = [part.images_by_category() for part in parts]
    counts = {item["name"]: (len(found[0][item["id"]]), len(found[1][item["id"]])) for item in categories}
    sizes = {name: len(part.data["images"]) for name, part in zip(SPLITS, parts, strict=True)}
    return PreparedExport(config, sizes, counts, notes)


def _checked_paths(export: Path, val: Path | None, val_share: float) -> list[Path]:
    """Return the annotation files after checking that they exist."""
    if not 0 < val_share < 1:
        raise ConfigError(f"--val-share: expected a number between 0 and 1, found {val_share}")
    paths = [Path(path) for path in ([export, val] if val else [export])]
    for path in paths:
        if not path.is_file():
            problem = "a folder" if path.is_dir() else f"no such file{describe_near(near_files([str(path)]))}"
            raise ConfigError(f"expected an annotation file, found {path}: {problem}")
    return paths


def _checked_root(root: Path) -> Path:
    """Return the folder of the images after checking that it exists."""
    if not root.is_dir():
        raise ConfigError(
            f"--images: expected a folder, found {root}: {'it is a file' if root.exists() else 'no such folder'}"
        )
    return root


def _read_export(path: Path) -> dict[str, Any]:
    """Return the content of an annotation file in COCO's format."""
    data = parse_annotations(str(path))
    _check_lists(data, path)
    _refuse_lvis(data["images"], path)
    return data


def _find_and_check_images(files, paths: list[Path], root: Path, output: Path, notes: list[str], *, skip: bool) -> None:
    """Replace the names of the images by paths below ``root``, and decode the images."""
    below = ExportedFiles(root)
    for path, data in zip(paths, files, strict=True):
        count = len(data["images"])
        find_images(data, below, path, notes, others=paths, skip=skip)
        check_images(data, root, notes, skip=skip)
        if count and not data["images"]:
            raise DataError(f"{path}: no image is left: {notes[-1]}")
    named = (image["file_name"] for data in files for image in data["images"])
    look_at_other_files(below, named, [*paths, output], notes)


def _write_parts(output: Path, parts: list[Part], *, overwrite: bool) -> None:
    """Check that no other data set would be replaced, and write the annotation files of the parts."""
    texts = {output / f"{name}.json": json.dumps(part.data) for name, part in zip(SPLITS, parts, strict=True)}
    other = [str(path) for path, text in texts.items() if holds_other(path, text)]
    if other and not overwrite:
        raise ConfigError(
            f"--output: expected a new data set, found one whose {first_few(other)} would change; use --overwrite to "
            "replace it"
        )
    if other and not (output / CONFIG).exists():
        raise ConfigError(
            f"--output: expected a data set of this program, which has {CONFIG}, found other files: {first_few(other)}"
        )
    for path, text in texts.items():
        write_text(path, text)


def _check_output(output: Path, paths: list[Path]) -> None:
    """Raise ConfigError if an output file would replace the export."""
    written = {os.path.realpath(output / f"{name}.json") for name in SPLITS}
    for path in paths:
        if os.path.realpath(path) in written:
            raise ConfigError(
                f"--output: expected another folder than that of the export, whose {path} would be replaced"
            )


def _check_lists(data: dict[str, Any], path: Path) -> None:
    for key in ("images", "annotations", "categories"):
        entries = data.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f'{path}: expected "{key}", a list of objects as in COCO\'s format')
        if key != "annotations" and (problem := plain_problem(entries)):
            raise DataError(f'{path}: "{key}": {problem}')
        for name in ("id", "image_id", "category_id"):
            wrong = [index for index, entry in enumerate(entries) if isinstance(entry.get(name), list | dict)]
            if wrong:
                raise DataError(f'{path}: expected an integer as "{name}" in "{key}": positions {first_few(wrong)}')


def _refuse_lvis(images: list[dict[str, Any]], path: Path) -> None:
    """Raise DataError for LVIS's format, because the result counts as exhaustively annotated and LVIS is not."""
    fields = ("neg_category_ids", "not_exhaustive_category_ids")
    count = sum(any(field in image for field in fields) for image in images)
    if count:
        raise DataError(
            f"{path}: expected COCO's format, found LVIS's, {' or '.join(fields)} in {count} of {len(images)} images; "
            'register the file itself with FORMAT lvis in DATASETS.REGISTER (docs/own-data.md, "Without an export")'
        )


def _copies(data: dict[str, Any], root: Path, notes: list[str]) -> list[list[Any]]:
    """Return groups of ids of images with the same file content, which a split keeps together."""
    groups = same_content([str(root / image["file_name"]) for image in data["images"]])
    if groups:
        named = [" = ".join(data["images"][index]["file_name"] for index in group) for group in groups]
        notes.append(f"images with the same content, which stay in one part: {first_few(named)}")
    return [[data["images"][index].get("id") for index in group] for group in groups]


def _check_overlap(files: list[dict[str, Any]], root: Path, notes: list[str], *, allowed: bool) -> None:
    """Raise DataError if validation images are also training images, by file or by content."""
    train, val = ([str(root / image["file_name"]) for image in data["images"]] for data in files)
    pairs = [[os.path.relpath(path, root) for path in pair] for pair in shared_files(train, val).items()]
    if not pairs:
        return
    named = first_few(name if name == trained else f"{name} (= {trained})" for name, trained in pairs)
    text = f"{len(pairs)} of {len(val)} validation images are also training images: {named}"
    if not allowed:
        raise DataError(f"--val: {text}; metrics on them would be too high. Use --allow-overlap to accept them")
    notes.append(text)


def _write_config(output: Path, root: Path, parts: list[Part], notes: list[str]) -> Path:
    objects = [item for part in parts for item in part.usable_objects()]
    kinds = Counter(type(item.get("segmentation") or None).__name__ for item in objects)
    base = output.resolve().name
    names = [f"{base}_{split}" for split in SPLITS]
    entries = [
        {"NAME": name, "JSON": str(output / f"{split}.json"), "IMAGES": str(root), "FORMAT": "coco"}
        for name, split in zip(names, SPLITS, strict=True)
    ]
    model: dict[str, Any] = {"ROI_HEADS": {"NUM_CLASSES": len(parts[0].data["categories"])}}
    if kinds["NoneType"]:
        model["MASK_ON"] = False
        ids = first_few(item["id"] for item in objects if not item.get("segmentation"))
        notes.append(
            f"{kinds['NoneType']} of {len(objects)} objects have no mask: MODEL.MASK_ON is False, boxes are trained "
            f"(annotation ids {ids})"
        )
    config: dict[str, Any] = {
        "DATASETS": {"REGISTER": entries, "TRAIN": [names[0]], "TEST": [names[1]]},
        "MODEL": model,
    }
    if kinds["dict"]:
        config["INPUT"] = {"MASK_FORMAT": "bitmask"}
        notes.append(f"{kinds['dict']} masks are run-length encoded: INPUT.MASK_FORMAT is bitmask")
    path = output / CONFIG
    write_text(path, f"{_MARK}\n" + yaml.safe_dump(config, sort_keys=False))
    return path
