"""Labelled images from files: lists, tables, folders, iNaturalist's annotations.

N images, C classes.
"""

import csv
import os
import reprlib
from collections.abc import Iterable, Sequence

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.data.images.files import leads_outside
from seesaw_d2.data.records.json_files import first_few, load_json_object
from seesaw_d2.errors import DataError
from seesaw_d2.utils.regular_files import irregular

# What Pillow reads, by the ending of the name; other files in an image folder are passed over.
IMAGE_ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


def read_list(path: str, images: str, names: Sequence[str]) -> LabelledSet:
    """A text file with ``path label`` in each line, ImageNet-LT's own format; labels are integers.

    Args:
        path: the list.
        images: folder that its paths are relative to.
        names: C class names.

    Raises:
        DataError: the file is missing or no text; a line is no path and label; a label is not in [0, C); a path leads
            outside of ``images``.
    """
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            parts = line.rsplit(None, 1)
            if len(parts) < 2:
                raise DataError(f"{path}, line {number}: expected a path and a label, found {line.strip()!r}")
            rows.append((number, parts[0].strip(), parts[1]))
    return _labelled(path, images, names, rows)


def read_table(path: str, images: str, names: Sequence[str]) -> LabelledSet:
    """A CSV file whose header names the columns ``path`` and ``label``; a label is a class's name or its index.

    Arguments and errors are those of ``read_list``.
    """
    reader = csv.DictReader(_lines(path))
    try:
        missing = {"path", "label"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{path}: expected a header with the columns path and label, found {reader.fieldnames}")
        rows = [(reader.line_num, row["path"] or "", row["label"] or "") for row in reader]
    except csv.Error as error:
        raise DataError(f"{path}: expected a CSV file: {error}") from None
    return _labelled(path, images, names, rows)


def read_folder(path: str, names: Sequence[str] | None) -> LabelledSet:
    """A folder with a subfolder for each class, images anywhere below; without ``names``, the subfolders sorted.

    Raises:
        DataError: there is no subfolder, or one that is no class.
    """
    found = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    if not found:
        raise DataError(f"{path}: expected a subfolder for each class, found none")
    names = found if names is None else names
    index_of = {name: index for index, name in enumerate(names)}
    unknown = [name for name in found if name not in index_of]
    if unknown:
        raise DataError(f"{path}: expected subfolders named after the {len(names)} classes, found {first_few(unknown)}")
    files, labels = [], []
    for name in found:
        inside = sorted(_images_below(os.path.join(path, name)))
        files += inside
        labels += [index_of[name]] * len(inside)
    return LabelledSet(np.array(labels, dtype=np.int64), tuple(names), files=files)


def read_inaturalist(path: str, images: str) -> LabelledSet:
    """An annotation file of iNaturalist 2018 (COCO's layout: images, annotations with one category each, categories).

    Raises:
        DataError: the file is missing, no JSON or of another layout.
    """
    content = load_json_object(path)
    try:
        categories = sorted(content["categories"], key=lambda category: category["id"])
        names = [str(category["name"]) for category in categories]
        index_of = {category["id"]: index for index, category in enumerate(categories)}
        file_of = {image["id"]: image["file_name"] for image in content["images"]}
        rows = [
            (number, file_of[item["image_id"]], str(index_of[item["category_id"]]))
            for number, item in enumerate(content["annotations"], start=1)
        ]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected images (id, file_name), annotations (image_id, category_id) and categories (id, name); "
            f"{type(error).__name__}: {error}"
        ) from None
    return _labelled(path, images, names, rows, unit="annotation")


def _labelled(path, images, names, rows: Iterable[tuple[int, str, str]], unit="line") -> LabelledSet:
    """Check (line number, file, label) and resolve them."""
    index_of = {name: index for index, name in enumerate(names)}
    files, labels = [], []
    for number, file, label in rows:
        where = f"{path}, {unit} {number}"
        if not isinstance(file, str) or not file or leads_outside(file):
            raise DataError(f"{where}: expected an image file below {images}, found {reprlib.repr(file)}")
        index = index_of[label] if label in index_of else _integer(label)
        if index is None or not 0 <= index < len(names):
            raise DataError(f"{where}: expected a label in [0, {len(names) - 1}], found {reprlib.repr(label)}")
        files.append(os.path.join(images, file))
        labels.append(index)
    return LabelledSet(np.array(labels, dtype=np.int64), tuple(names), files=files)


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _lines(path: str) -> list[str]:
    if irregular(path):
        raise DataError(f"{path}: expected a text file, found {irregular(path)}")
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected a text file, byte {error.start} is not UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _images_below(folder: str) -> Iterable[str]:
    for root, _, names in os.walk(folder):
        yield from (os.path.join(root, name) for name in names if name.lower().endswith(IMAGE_ENDINGS))


def read_names(path: str) -> tuple[str, ...]:
    """Class names, one in each line, in the order of their indices.

    Raises:
        DataError: the file cannot be read, is empty, or has a name twice.
    """
    names = [line.strip() for line in _lines(path) if line.strip()]
    if not names:
        raise DataError(f"{path}: expected a class name in each line, found none")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{path}: expected each class name once, found twice: {first_few(twice)}")
    return tuple(names)
