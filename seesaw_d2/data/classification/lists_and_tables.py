"""Read labelled images from text files, CSV files and iNaturalist's annotation files."""

import logging
import os
import reprlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.data.classification.labels import LabelReader, index_of_label
from seesaw_d2.errors import DataError
from seesaw_d2.utils.json_reading import load_json_object
from seesaw_d2.utils.messages import first_few, shown, warn_once
from seesaw_d2.utils.text_tables import read_lines, read_rows
from seesaw_d2.utils.untrusted_paths import leads_outside

logger = logging.getLogger(__name__)


def read_list(path: str, images: str, names: Sequence[str]) -> LabelledSet:
    """Read a text file in which each line contains the path and the label of an image, as in ImageNet-LT.

    Args:
        path: path of the text file. The labels are class indices, even if the class names are numbers.
        images: folder of the images. The paths in the file are relative to this folder.
        names: the class names, in the order of their indices.

    Raises:
        DataError: the file is missing or not text, a line lacks a path or label, a label is not the index of a class,
            or a path leads outside of ``images``.
    """
    rows = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            parts = line.rsplit(None, 1)
            where = f"{path}, line {number}"
            if len(parts) < 2:
                raise DataError(f"{where}: expected a path and a label separated by a space, found {line.strip()!r}")
            rows.append((where, parts[0].strip(), index_of_label(parts[1], len(names), where)))
    return _labelled(path, images, names, rows)


def read_table(path: str, images: str, names: Sequence[str]) -> LabelledSet:
    """Read labelled images from a CSV file with the columns ``path`` and ``label``.

    Args:
        path: path of the CSV file. Either all labels are class names, or all labels are class indices.
        images: folder of the images. The paths in the file are relative to this folder.
        names: the class names, in the order of their indices.

    Raises:
        DataError: the file is missing or not text, a line has more or fewer fields than the header, a label is neither
            a class name nor a class index, or a path leads outside of ``images``.
    """
    read_label = LabelReader(names)
    rows = [(where, row["path"], read_label(row["label"], where)) for where, row in read_rows(path, ("path", "label"))]
    return _labelled(path, images, names, rows)


def read_inaturalist(path: str, images: str) -> LabelledSet:
    """Read labelled images from an annotation file of iNaturalist 2018.

    The JSON file contains the lists "images", "categories" and "annotations" as in COCO, but an annotation has no box,
    and each image has one annotation. The classes are the categories, sorted by id. Images without an annotation are
    omitted with a warning.

    Args:
        path: path of the annotation file.
        images: folder of the images. The file names in the annotation file are relative to this folder.

    Raises:
        DataError: the file is missing or not JSON, a field is missing, an id occurs twice, an id is neither an integer
            nor a string, or a category has no name.
    """
    content = load_json_object(path)
    try:
        categories = sorted(_by_id(content["categories"], "categories", path).items())
        names = [_name(category, path) for _, category in categories]
        index_of = {category: index for index, (category, _) in enumerate(categories)}
        by_id = _by_id(content["images"], "images", path)
        rows = [
            (f"{path}, annotation {number}", by_id[item["image_id"]]["file_name"], index_of[item["category_id"]])
            for number, item in enumerate(content["annotations"], start=1)
        ]
        unlabelled = by_id.keys() - {item["image_id"] for item in content["annotations"]}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: cannot read this file as annotations of iNaturalist 2018 ({type(error).__name__}: {error}). The "
            "file must contain images (id, file_name), annotations (image_id, category_id) and categories (id, name)."
        ) from None
    if unlabelled:
        found = first_few(by_id[key].get("file_name") for key in by_id if key in unlabelled)
        warn_once(logger, f"{path}: {len(unlabelled)} images have no annotation and are omitted: {found}")
    return _labelled(path, images, names, rows)


def _name(category: dict[str, Any], path: str) -> str:
    name = category["name"]
    if type(name) not in (int, str) or name == "":
        raise DataError(
            f'{path}: "name" in "categories": expected an integer or a string that is not empty, found {shown(name)} '
            f"(id {category['id']})"
        )
    return str(name)


def _by_id(items: list[dict[str, Any]], key: str, path: str) -> dict[int | str, dict[str, Any]]:
    found = {item["id"]: item for item in items}
    wrong = [value for value in found if type(value) not in (int, str)]
    if wrong:
        raise DataError(f'{path}: "id" in "{key}": expected integers or strings, found {first_few(map(repr, wrong))}')
    if len(found) < len(items):
        counts = Counter(item["id"] for item in items)
        twice = first_few(repr(value) for value, count in counts.items() if count > 1)
        raise DataError(f'{path}: "{key}": expected unique ids, found repeated ids: {twice}')
    return found


def _labelled(path: str, images: str, names: Sequence[str], rows: Iterable[tuple[str, Any, int]]) -> LabelledSet:
    """Check the image paths of a dataset, remove repeated images, and return the labelled images.

    If a path occurs several times with the same label, only the first is kept. Otherwise repeated images would
    increase the number of training images of their class.

    Args:
        path: path of the file that lists the images, for messages.
        images: folder of the images.
        names: the class names, in the order of their indices.
        rows: a tuple for each image: position in the file (for messages), path of the image relative to ``images``,
            class index.

    Raises:
        DataError: the path of an image leads outside of ``images``.
    """
    found: dict[tuple[str, int], str] = {}
    repeated = []
    for where, file, label in rows:
        if not isinstance(file, str) or not file or leads_outside(file):
            raise DataError(f"{where}: expected a path below the image folder {images}, found {reprlib.repr(file)}")
        row = (os.path.normpath(file), label)
        if row in found:
            repeated.append(file)
        found.setdefault(row, os.path.join(images, file))
    if repeated:
        named = first_few(dict.fromkeys(repeated))
        warn_once(logger, f"{path}: omitted {len(repeated)} entries that repeat an image with the same label: {named}")
    twice = [file for file, count in Counter(file for file, _ in found).items() if count > 1]
    if twice:
        warn_once(
            logger,
            f"{path}: {len(twice)} images occur several times with different labels: {first_few(twice)}. All labels "
            "are used. Remove the wrong labels.",
        )
    labels = np.array([label for _, label in found], dtype=np.int64)
    return LabelledSet(labels, tuple(names), files=list(found.values()))


def read_names(path: str) -> tuple[str, ...]:
    """Read a text file with the name of class 0 in the first line, of class 1 in the second line, and so on.

    Empty lines at the end are ignored.

    Raises:
        DataError: the file cannot be read or is empty, a line before the last name is empty, or a name occurs twice.
    """
    names = [line.strip() for line in read_lines(path)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(f"{path}: expected at least one class name, found an empty file")
    if "" in names:
        raise DataError(f"{path}, line {names.index('') + 1}: expected a class name, found an empty line")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"{path}: expected unique class names, found repeated names: {first_few(twice)}")
    return tuple(names)
