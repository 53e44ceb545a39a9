"""Semantic label maps of a data set: SEM_SEG and SEM_SEG_CLASSES in DATASETS.REGISTER."""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from PIL import Image

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.json_reading import absolute_path, load_json_object
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.regular_files import open_regular

SEMANTIC_KEYS = ("SEM_SEG", "SEM_SEG_CLASSES")
_EXPECTED = 'expected {"classes": [{"name": "road", "image_count": 12}, ...]}, image_count in all classes or in none'


@dataclass(frozen=True)
class SemanticClasses:
    """C semantic classes.

    Attributes:
        names: C names. Pixel values in label maps are indices of this tuple.
        image_count: numbers of training images with each class (C). None: unknown.
    """

    names: tuple[str, ...]
    image_count: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SemanticLabels:
    """Label maps of a data set.

    Attributes:
        folder: folder with a label map for each image, an 8-bit gray PNG file with the image's path below IMAGES.
        classes_file: JSON file with the classes.
    """

    folder: str
    classes_file: str

    def added_to(self, records: Sequence[dict[str, Any]], image_root: str) -> list[dict[str, Any]]:
        """Return the dataset dicts with ``sem_seg_file_name``, the path of the label map."""
        return [{**record, "sem_seg_file_name": self._path(record["file_name"], image_root)} for record in records]

    def _path(self, image: str, image_root: str) -> str:
        return os.path.join(self.folder, os.path.splitext(os.path.relpath(image, image_root))[0] + ".png")


def parse_semantic(value: Mapping[str, Any], where: str) -> SemanticLabels | None:
    """Return the label maps of an entry of DATASETS.REGISTER, or None if it has none.

    Args:
        value: the entry, whose values are strings.
        where: config key of the entry, for messages.

    Raises:
        ConfigError: one of the two keys is missing, or the folder or file does not exist.
    """
    given = [key for key in SEMANTIC_KEYS if key in value]
    if not given:
        return None
    if len(given) < len(SEMANTIC_KEYS):
        raise ConfigError(f"{where}: expected {' and '.join(SEMANTIC_KEYS)} or neither, found {given[0]} alone")
    folder, classes_file = (absolute_path(value[key]) for key in SEMANTIC_KEYS)
    demo = (
        "; python datasets/prepare_glyphs.py --alphabet plain --semantic makes it" if "glyphs" in classes_file else ""
    )
    if not os.path.isdir(folder):
        raise ConfigError(f"{where}.SEM_SEG: expected a folder of label maps, found {folder}: no such folder{demo}")
    if not os.path.isfile(classes_file):
        raise ConfigError(f"{where}.SEM_SEG_CLASSES: expected a JSON file, found {classes_file}: no such file{demo}")
    return SemanticLabels(folder, classes_file)


@functools.cache
def read_classes(path: str) -> SemanticClasses:
    """Read a file of SEM_SEG_CLASSES.

    Raises:
        DataError: the file is not JSON of the expected form.
    """
    listed = load_json_object(path, _EXPECTED).get("classes")
    rows = listed if isinstance(listed, list) else []
    names = [row.get("name") if isinstance(row, dict) else None for row in rows]
    if not rows or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise DataError(f"{path}: classes: {_EXPECTED} with different names, found {str(listed)[:80]}")
    counts = [row.get("image_count") for row in rows]
    if all(count is None for count in counts):
        return SemanticClasses(tuple(names))
    wrong = [name for name, count in zip(names, counts, strict=True) if type(count) is not int or count < 0]
    if wrong:
        raise DataError(f"{path}: image_count: {_EXPECTED}, integers >= 0; found others in {first_few(wrong)}")
    return SemanticClasses(tuple(names), tuple(counts))


def semantic_classes(name: str) -> SemanticClasses | None:
    """Return the semantic classes of a registered data set, or None if it has none."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("sem_seg_classes"):
        return read_classes(metadata.sem_seg_classes)
    names = metadata.get("stuff_classes")
    return SemanticClasses(tuple(names)) if names else None


def check_label_maps(records: Sequence[dict[str, Any]], name: str) -> None:
    """Check that each record has a label map of the image's size, without decoding it.

    Raises:
        DataError: the data set has no label maps, or files are missing, not images, of another size or not gray.
    """
    wrong = [problem for record in records if (problem := _problem(record))]
    if wrong:
        raise DataError(
            f"data set {name!r}: label maps that cannot be used ({len(wrong)}): {first_few(dict.fromkeys(wrong))}"
        )


def _problem(record: dict[str, Any]) -> str:
    path = record.get("sem_seg_file_name")
    if path is None:
        return "none; set SEM_SEG in DATASETS.REGISTER to their folder"
    try:
        with open_regular(path, "rb") as file, Image.open(file) as image:
            size, mode = image.size, image.mode
    except OSError as error:
        return f"{path} ({'no such file' if isinstance(error, FileNotFoundError) else 'no image'})"
    if mode != "L":
        return f"{path} (expected 8 bits in gray, mode L, found mode {mode})"
    expected = record.get("width"), record.get("height")
    return "" if expected in ((None, None), size) else f"{path} (expected width x height {expected}, found {size})"


def read_label_map(path: str, num_classes: int, ignored: int) -> np.ndarray:
    """Return a label map, (H, W) uint8.

    Raises:
        DataError: a value is neither a class nor ``ignored``.
    """
    with open_regular(path, "rb") as file:
        labels = np.asarray(Image.open(file))
    check_values(labels, path, num_classes, ignored)
    return labels


def check_values(labels: np.ndarray, path: str, num_classes: int, ignored: int) -> None:
    """Raise DataError if a value is neither in [0, num_classes) nor ``ignored``."""
    wrong = np.unique(labels[(labels >= num_classes) & (labels != ignored)])
    if len(wrong):
        raise DataError(
            f"{path}: expected values in [0, {num_classes - 1}] or MODEL.SEM_SEG_HEAD.IGNORE_VALUE {ignored}, found "
            f"{first_few(wrong.tolist())}"
        )
