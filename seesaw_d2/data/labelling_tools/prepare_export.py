"""Convert the COCO export of a labelling tool to annotation files for training and validation, and a config.

docs/own-data.md lists how the exports of labelling tools deviate from COCO, and how this module handles each deviation.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seesaw_d2.data.images.lookup import describe_near, near_files
from seesaw_d2.data.labelling_tools import exported_images
from seesaw_d2.data.labelling_tools.export_config import CONFIG, MARK, SPLITS, check_data_set_names, write_config
from seesaw_d2.data.labelling_tools.exported_objects import checked_categories, look_at_empty_images
from seesaw_d2.data.labelling_tools.exported_parts import PURPOSES, Part, check_any_usable, checked_part, split
from seesaw_d2.data.labelling_tools.image_name_matching import ExportedFiles
from seesaw_d2.data.labelling_tools.related_images import check_overlap, look_at_related_images, related_images
from seesaw_d2.data.records.annotation_files import parse_annotations
from seesaw_d2.data.records.foreign_formats import foreign_format
from seesaw_d2.data.records.formats import ID_LISTS, has_id_lists
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.messages import first_few, json_type
from seesaw_d2.utils.own_files import check_replaceable, holds_other
from seesaw_d2.utils.plain_values import plain_problem

_OF_EMPTY_IMAGES = ("Training ignores these images", "All detections in these images count as false positives")


@dataclass
class PreparedExport:
    """Summary of a dataset that ``prepare_export`` wrote, for display to the user.

    Attributes:
        config: path of the written config.
        num_images: number of images in each split. The keys are "train" and "val".
        category_images: for each category name, the number of training images and the number of validation images with
            this category.
        notes: messages about corrections and possible mistakes, one line each.
    """

    config: Path
    num_images: dict[str, int]
    category_images: dict[str, tuple[int, int]]
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
    """Check a labelling tool's COCO export, and write ``train.json``, ``val.json`` and the config ``dataset.yaml``.

    Args:
        export: path of the exported annotation file in COCO format.
        output: folder to write to. The name of the folder becomes the name of the dataset.
        images: folder of the images, which may be in subfolders. If None, use the folder that contains ``export``.
        val: path of the annotation file of the validation images. If None, randomly split the images of ``export``.
        val_share: fraction of the images for validation, in (0, 1). This argument has no effect if ``val`` is set.
        seed: seed of the random split.
        skip_bad_images: if True, skip images that are missing or cannot be decoded, instead of raising DataError.
        allow_overlap: if True, accept validation images that are also training images.
        overwrite: if True, replace another dataset in ``output``.

    Raises:
        ConfigError: ``val_share`` is invalid, a file or folder does not exist, or ``output`` contains another dataset.
        DataError: an annotation file is invalid, an image is missing, ambiguous, damaged or of a wrong size, ``val``
            contains training images, or no object can be used for training or for validation. No files are written.
        OutputError: ``output`` cannot be written.
    """
    paths = _checked_paths(export, val, val_share)
    root = _checked_root(Path(images) if images else Path(export).parent)
    _check_output(output, paths)
    files = [_read_export(path) for path in paths]
    notes: list[str] = []
    sources = [str(path) for path in paths]
    categories = checked_categories(files, sources, notes)
    _find_and_check_images(files, paths, root, output, notes, skip=skip_bad_images)
    if val:
        check_overlap(files, root, notes, allowed=allow_overlap)
    parts = [
        checked_part({**data, "categories": categories}, source, notes)
        for data, source in zip(files, sources, strict=True)
    ]
    for part, source, purpose in zip(parts, sources, PURPOSES, strict=False):
        check_any_usable(part, source, purpose)
    if not val:
        parts = list(split(parts[0], val_share, seed, related_images(parts[0].data, root, notes), str(export)))
        sources = [f"{export} ({name} split)" for name in SPLITS]
    for part, source, consequence in zip(parts, sources, _OF_EMPTY_IMAGES, strict=True):
        look_at_empty_images(part.data, source, consequence, notes)
    look_at_related_images(parts[0].data["images"], parts[1].data["images"], notes)
    _write_parts(output, parts, overwrite=overwrite)
    config = write_config(output, root, parts, notes)
    found = [part.images_by_category() for part in parts]
    counts = {item["name"]: (len(found[0][item["id"]]), len(found[1][item["id"]])) for item in categories}
    sizes = {name: len(part.data["images"]) for name, part in zip(SPLITS, parts, strict=True)}
    return PreparedExport(config, sizes, counts, notes)


def _checked_paths(export: Path, val: Path | None, val_share: float) -> list[Path]:
    """Return the paths of the annotation files ``export`` and (unless it is None) ``val``.

    Raise ConfigError if a file does not exist, or if ``val_share``, a fraction of images, is not in (0, 1).
    """
    if not 0 < val_share < 1:
        raise ConfigError(f"--val-share: expected a number above 0 and below 1, found {val_share}")
    paths = [Path(path) for path in ([export, val] if val else [export])]
    for path in paths:
        if not path.is_file():
            found = (
                f"the folder {path}" if path.is_dir() else f"no file at {path}{describe_near(near_files([str(path)]))}"
            )
            option = "--val" if path == paths[-1] and val else "export"
            raise ConfigError(f"{option}: expected an annotation file, found {found}")
    return paths


def _checked_root(root: Path) -> Path:
    """Return the folder of the images. Raise ConfigError if this folder does not exist."""
    if not root.is_dir():
        raise ConfigError(
            f"--images: expected a folder, found {f'the file {root}' if root.exists() else f'no folder at {root}'}"
        )
    return root


def _read_export(path: Path) -> dict[str, Any]:
    """Parse an annotation file, and check that it contains the three lists of the COCO format and is not LVIS."""
    data = parse_annotations(str(path))
    _check_lists(data, path)
    _refuse_lvis(data["images"], path)
    return data


def _find_and_check_images(files, paths: list[Path], root: Path, output: Path, notes: list[str], *, skip: bool) -> None:
    """Find and decode the images of all annotation files, and report image files that no annotation file mentions.

    Args:
        files: contents of the annotation files in COCO format. The function replaces "file_name" of each image by a
            path relative to ``root``.
        paths: paths of the annotation files.
        root: folder of the images.
        output: folder of the dataset. Files in this folder are not reported.
        notes: list to which the function appends messages for the user.
        skip: if True, skip images that are missing or cannot be decoded. If False, raise DataError.
    """
    if root == paths[0].parent and len(paths) > 1:
        exported_images.check_default_folder(files[1], root, paths[1])
    below = ExportedFiles(root)
    for path, data in zip(paths, files, strict=True):
        count = len(data["images"])
        exported_images.find_images(data, below, path, notes, others=paths, skip=skip)
        exported_images.check_images(data, root, notes, skip=skip)
        if count and not data["images"]:
            raise DataError(f"{path}: none of the {count} images can be used: {notes[-1]}")
    named = (image["file_name"] for data in files for image in data["images"])
    exported_images.look_at_other_files(below, named, [*paths, output], notes)


def _write_parts(output: Path, parts: list[Part], *, overwrite: bool) -> None:
    """Write the annotation files ``train.json`` and ``val.json``.

    Args:
        output: folder to write to.
        parts: training part and validation part of the dataset.
        overwrite: if True, replace another dataset in ``output``.

    Raises:
        ConfigError: ``output`` contains another dataset and ``overwrite`` is False, or ``output`` contains files of
            these names that another program wrote.
    """
    texts = {output / f"{name}.json": json.dumps(part.data) for name, part in zip(SPLITS, parts, strict=True)}
    other = [str(path) for path, text in texts.items() if holds_other(path, text)]
    if other and not overwrite:
        raise ConfigError(
            f"--output: expected a new folder or a folder with the same dataset, found another dataset in {output}. "
            f"The files {first_few(other)} would change. Use --overwrite to replace the dataset."
        )
    if other and not (output / CONFIG).exists():
        raise ConfigError(
            f"--output: {output} contains {first_few(other)}, but no {CONFIG}, so another program wrote these files. "
            "Choose another folder."
        )
    for path, text in texts.items():
        write_text(path, text)


def _check_output(output: Path, paths: list[Path]) -> None:
    """Raise ConfigError if a file in the folder ``output`` would replace a file in ``paths`` or a user's config.

    Also raise ConfigError if the name of the folder cannot be the name of datasets.
    """
    check_data_set_names(output)
    written = {os.path.realpath(output / f"{name}.json") for name in SPLITS}
    for path in paths:
        if os.path.realpath(path) in written:
            raise ConfigError(
                f"--output: expected another folder than the folder of the export, found {output}. The output would "
                f"replace {path}. Choose another folder."
            )
    check_replaceable(output / CONFIG, MARK, "a config of this program")


def _check_lists(data: dict[str, Any], path: Path) -> None:
    for key in ("images", "annotations", "categories"):
        entries = data.get(key)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            hint = "" if key in data else foreign_format(data)
            if isinstance(entries, list):
                found = f"a list that contains {json_type(next(e for e in entries if not isinstance(e, dict)))}"
            else:
                found = json_type(entries) if key in data else "no such key"
            raise DataError(f'{path}: "{key}": expected a list of JSON objects, found {found}{hint}')
        if key != "annotations" and (problem := plain_problem(entries)):
            raise DataError(f'{path}: "{key}": {problem}')
        for name in ("id", "image_id", "category_id"):
            wrong = [index for index, entry in enumerate(entries) if isinstance(entry.get(name), list | dict)]
            if wrong:
                raise DataError(
                    f'{path}: "{name}" in "{key}": expected integers, found {json_type(entries[wrong[0]][name])} '
                    f"(positions {first_few(wrong)} in the list)"
                )


def _refuse_lvis(images: list[dict[str, Any]], path: Path) -> None:
    """Raise DataError if an annotation file is in LVIS format, which cannot be converted to COCO format.

    In COCO format, all objects in an image count as annotated. In LVIS format, an image can contain objects that are
    not annotated. After a conversion, detections of such objects would count as false positives.
    """
    count = sum(map(has_id_lists, images))
    if count:
        raise DataError(
            f"{path}: expected the COCO format, found the LVIS format. {count} of {len(images)} images contain the "
            f"fields {' or '.join(ID_LISTS)}. Register this file with FORMAT lvis in DATASETS.REGISTER. See "
            'docs/own-data.md, "Without an export".'
        )
