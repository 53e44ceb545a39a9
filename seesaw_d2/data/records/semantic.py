"""Read and check label maps for semantic segmentation (SEM_SEG and SEM_SEG_CLASSES in DATASETS.REGISTER)."""

import functools
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from PIL import Image

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.json_reading import absolute_path, load_json_object
from seesaw_d2.utils.messages import first_few, shown
from seesaw_d2.utils.regular_files import open_regular

SEMANTIC_KEYS = ("SEM_SEG", "SEM_SEG_CLASSES")
_EXPECTED = (
    'expected {"classes": [{"name": "road", "image_count": 12}, ...]}, with "image_count" in all classes or in none'
)


@dataclass(frozen=True)
class SemanticClasses:
    """Classes of a dataset for semantic segmentation.

    Attributes:
        names: name of each class. Class i has the pixel value i in the label maps.
        image_count: number of training images that contain each class. If None, these numbers are unknown.
    """

    names: tuple[str, ...]
    image_count: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SemanticLabels:
    """Paths of the label maps and of the class names of a dataset for semantic segmentation.

    Attributes:
        folder: folder of the label maps, which are 8-bit grayscale PNG files. The label map of the image ``a/1.jpg`` in
            the image folder is ``a/1.png`` in this folder.
        classes_file: JSON file with the classes.
    """

    folder: str
    classes_file: str

    def added_to(self, records: Sequence[dict[str, Any]], image_root: str) -> list[dict[str, Any]]:
        """Return copies of the dataset dicts that contain the path of the label map as ``sem_seg_file_name``.

        Args:
            records: dataset dicts.
            image_root: folder of the images. Label maps have the same relative paths, with the extension ".png".
        """
        return [{**record, "sem_seg_file_name": self._path(record["file_name"], image_root)} for record in records]

    def _path(self, image: str, image_root: str) -> str:
        return os.path.join(self.folder, os.path.splitext(os.path.relpath(image, image_root))[0] + ".png")


def parse_semantic(value: Mapping[str, Any], where: str) -> SemanticLabels | None:
    """Read the keys SEM_SEG and SEM_SEG_CLASSES of a dataset in DATASETS.REGISTER. Return None if both are missing.

    Args:
        value: the dataset's keys and values. All values are strings.
        where: position in the config for messages, such as "DATASETS.REGISTER[0]".

    Raises:
        ConfigError: only one of the two keys is set, or the folder or file does not exist.
    """
    given = [key for key in SEMANTIC_KEYS if key in value]
    if not given:
        return None
    if len(given) < len(SEMANTIC_KEYS):
        raise ConfigError(
            f"{where}: expected both keys {' and '.join(SEMANTIC_KEYS)} or neither key, found only {given[0]}"
        )
    folder, classes_file = (absolute_path(value[key]) for key in SEMANTIC_KEYS)
    demo = (
        ". Create the dataset with: python datasets/prepare_glyphs.py --alphabet plain --semantic"
        if "glyphs" in classes_file
        else ""
    )
    if not os.path.isdir(folder):
        raise ConfigError(f"{where}.SEM_SEG: expected a folder of label maps, found no folder at {folder}{demo}")
    if not os.path.isfile(classes_file):
        raise ConfigError(f"{where}.SEM_SEG_CLASSES: expected a JSON file, found no file at {classes_file}{demo}")
    return SemanticLabels(folder, classes_file)


@functools.cache
def read_classes(path: str) -> SemanticClasses:
    """Read the class names and optional image counts from the JSON file of SEM_SEG_CLASSES.

    Raises:
        DataError: the file is missing, is not JSON, or lacks valid classes.
    """
    listed = load_json_object(path, _EXPECTED).get("classes")
    rows = listed if isinstance(listed, list) else []
    names = [row.get("name") if isinstance(row, dict) else None for row in rows]
    if not rows or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        found = 'no key "classes"' if listed is None else str(listed)[:80]
        raise DataError(f'{path}: "classes": {_EXPECTED}, found {found}. Names must be unique and not empty.')
    counts = [row.get("image_count") for row in rows]
    if all(count is None for count in counts):
        return SemanticClasses(tuple(names))
    wrong = [
        f"{'no count' if count is None else shown(count)} in class {name}"
        for name, count in zip(names, counts, strict=True)
        if type(count) is not int or count < 0
    ]
    if wrong:
        raise DataError(
            f'{path}: "image_count": expected an integer >= 0 in all classes or no count in any class, found '
            f"{first_few(wrong)}"
        )
    return SemanticClasses(tuple(names), tuple(counts))


def semantic_classes(name: str) -> SemanticClasses | None:
    """Return the semantic classes of a registered dataset, or None if its metadata contains no semantic classes."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("sem_seg_classes"):
        return read_classes(metadata.sem_seg_classes)
    names = metadata.get("stuff_classes")
    return SemanticClasses(tuple(names)) if names else None


def check_label_maps(records: Sequence[dict[str, Any]], name: str) -> None:
    """Check that each image has a label map of the same size. Read only the headers of the label maps.

    Args:
        records: dataset dicts.
        name: name of the dataset, for messages.

    Raises:
        DataError: a label map is missing, is not an 8-bit grayscale image, or differs in size from the image. Or
            several images have the same label map, such as a/1.jpg and a/1.png.
    """
    images: dict[str | None, set[str | None]] = defaultdict(set)
    for record in records:
        images[record.get("sem_seg_file_name")].add(record.get("file_name"))
    shared = {path: sorted(map(str, names)) for path, names in images.items() if path is not None and len(names) > 1}
    if shared:
        listed = first_few(f"{path} ({', '.join(names)})" for path, names in shared.items())
        raise DataError(
            f"dataset {name!r}: expected a label map of its own for each image, found {len(shared)} label maps of "
            f"several images: {listed}. Rename these images and their label maps."
        )
    wrong = [problem for record in records if (problem := _problem(record))]
    if wrong:
        raise DataError(
            f"dataset {name!r}: expected a label map for each image, found {len(wrong)} images without a valid label "
            f"map: {first_few(dict.fromkeys(wrong))}"
        )


def _problem(record: dict[str, Any]) -> str:
    """Describe what is wrong with the label map of a dataset dict, or return "" for a valid label map."""
    path = record.get("sem_seg_file_name")
    if path is None:
        return "records without sem_seg_file_name. Set SEM_SEG in DATASETS.REGISTER to the folder of the label maps"
    try:
        with open_regular(path, "rb") as file, Image.open(file) as image:
            size, mode = image.size, image.mode
    except OSError as error:
        return f"{path} ({'no such file' if isinstance(error, FileNotFoundError) else 'not an image'})"
    if mode != "L":
        return f"{path} (expected 8-bit grayscale, Pillow's mode L, found mode {mode})"
    expected = record.get("width"), record.get("height")
    if expected in ((None, None), size):
        return ""
    return f"{path} (expected width x height {expected[0]} x {expected[1]}, found {size[0]} x {size[1]})"


def read_label_map(path: str, num_classes: int, ignored: int) -> np.ndarray:
    """Read a label map, and check its pixel values. Return the pixel values, (height, width) uint8.

    Args:
        path: path of the label map.
        num_classes: number of classes.
        ignored: value of pixels without a class (MODEL.SEM_SEG_HEAD.IGNORE_VALUE).

    Raises:
        DataError: a pixel value is neither in [0, num_classes) nor ``ignored``.
    """
    with open_regular(path, "rb") as file:
        labels = np.asarray(Image.open(file))
    check_values(labels, path, num_classes, ignored)
    return labels


def check_values(labels: np.ndarray, path: str, num_classes: int, ignored: int) -> None:
    """Raise DataError if a pixel value of a label map is neither in [0, num_classes) nor ``ignored``."""
    wrong = np.unique(labels[(labels >= num_classes) & (labels != ignored)])
    if len(wrong):
        raise DataError(
            f"{path}: expected pixel values from 0 to {num_classes - 1} or {ignored}, found "
            f"{first_few(wrong.tolist())}. {ignored} is MODEL.SEM_SEG_HEAD.IGNORE_VALUE."
        )
