"""Read the file names, sizes and objects of many dataset dicts at once. A "record" is a Detectron2 dataset dict.

A column is an array with one value for each record or for each object. A sequence that implements ``RecordColumns``
returns columns without creating the dicts. For other sequences, such as lists, the functions of this module read each
dict.

Shapes: I is the number of records, M is the number of objects, and P is the number of distinct pairs of an image and a
category.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from detectron2.structures import BoxMode
from pycocotools import mask as mask_utils

from seesaw_d2.data.boxes_and_masks.float_coordinates import floats

Records = Sequence[dict[str, Any]]

# ``ObjectColumns.mask`` contains one of these numbers for an object with no mask, with polygons or with a run-length
# mask.
NO_MASK, POLYGONS, RUN_LENGTHS = range(3)
# Functions that read all objects of a dataset process this number of images at a time, to limit memory use.
STRETCH = 50_000


class ObjectColumns(NamedTuple):
    """Arrays with one value for each of the M objects in a sequence of dataset dicts. The objects are sorted by image.

    Attributes:
        image: (M,) int64, index of the object's dataset dict in the sequence.
        category: (M,) int64, category index of the object.
        crowd: (M,) bool, True if the object is a crowd (``iscrowd`` 1).
        mask: (M,) int8, type of the object's mask: ``NO_MASK``, ``POLYGONS`` or ``RUN_LENGTHS``.
    """

    image: np.ndarray
    category: np.ndarray
    crowd: np.ndarray
    mask: np.ndarray

    def without_crowds(self) -> "ObjectColumns":
        """Return the objects that are not crowds. Training uses only these objects."""
        return ObjectColumns(*(column[~self.crowd] for column in self))


def to_object(annotation: dict[str, Any], category_index: int) -> dict[str, Any]:
    """Convert an annotation of an annotation file to an element of "annotations" in Detectron2's dataset dicts.

    Integer coordinates become floats. Otherwise, Detectron2 would truncate the coordinates after resizing the image.

    Args:
        annotation: the annotation, a JSON object that has passed all checks.
        category_index: Detectron2's contiguous id of the category.
    """
    result = {"bbox": floats(annotation["bbox"]), "bbox_mode": BoxMode.XYWH_ABS, "category_id": category_index}
    if "iscrowd" in annotation:
        result["iscrowd"] = annotation["iscrowd"]
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict) and segmentation:
        if isinstance(segmentation["counts"], list):
            # Compress the run lengths, because Detectron2 cannot read a list of run lengths.
            segmentation = mask_utils.frPyObjects(segmentation, *segmentation["size"])
            segmentation["counts"] = segmentation["counts"].decode()
        segmentation = {key: segmentation[key] for key in ("size", "counts")}
    elif segmentation:
        segmentation = [floats(polygon) for polygon in segmentation]
    if segmentation:
        result["segmentation"] = segmentation
    return result


@runtime_checkable
class RecordColumns(Protocol):
    """Interface of sequences of dataset dicts that return values of all images without creating the dicts."""

    def take(self, positions: np.ndarray) -> Records:
        """Return the dataset dicts at ``positions``, an integer array of indices into this sequence."""

    def objects_of(self) -> ObjectColumns:
        """Return arrays with the image, category, crowd flag and type of mask of all objects."""

    def file_names(self) -> Iterator[str | None]:
        """Yield the path of each image file, or None for a dataset dict without "file_name"."""

    def image_column(self, name: str) -> np.ndarray:
        """Return the value of one key in each of the I dataset dicts, as an array (I,).

        The data type is int64. If dicts can lack the key, the data type is object, and missing values are None.

        Args:
            name: the key, which is "image_id", "height" or "width".
        """


class _Dicts:
    """Implementation of ``RecordColumns`` for lists and other sequences of dicts. It reads each dict."""

    def __init__(self, records: Records):
        self._records = records

    def take(self, positions: np.ndarray) -> Records:
        return [self._records[position] for position in positions]

    def objects_of(self) -> ObjectColumns:
        annotations = [record.get("annotations", ()) for record in self._records]
        items = list(itertools.chain.from_iterable(annotations))
        return ObjectColumns(
            np.repeat(np.arange(len(annotations)), [len(each) for each in annotations]),
            np.array([item["category_id"] for item in items], np.int64),
            np.array([bool(item.get("iscrowd", 0)) for item in items], bool),
            np.array([_mask(item) for item in items], np.int8),
        )

    def file_names(self) -> Iterator[str | None]:
        return (record.get("file_name") for record in self._records)

    def image_column(self, name: str) -> np.ndarray:
        return np.fromiter((record.get(name) for record in self._records), dtype=object, count=len(self._records))


def _mask(item: dict[str, Any]) -> int:
    segmentation = item.get("segmentation")
    return NO_MASK if segmentation is None else RUN_LENGTHS if isinstance(segmentation, dict) else POLYGONS


def _columns(records: Records) -> RecordColumns:
    return records if isinstance(records, RecordColumns) else _Dicts(records)


def take(records: Records, positions) -> Records:
    """Return the dataset dicts at the indices ``positions``.

    If ``records`` implements ``RecordColumns``, the returned sequence implements it too.
    """
    return _columns(records).take(np.asarray(positions, np.int64))


def objects_of(records: Records) -> ObjectColumns:
    """Return arrays with the image, category, crowd flag and type of mask of all objects."""
    return _columns(records).objects_of()


def object_columns(records: Records) -> Iterator[ObjectColumns]:
    """Yield an ``ObjectColumns`` for each group of at most 50,000 (``STRETCH``) dataset dicts, in order.

    The groups limit memory use. In each group, ``image`` contains indices into the whole sequence ``records``.
    """
    for start in range(0, len(records), STRETCH):
        objects = objects_of(take(records, range(start, min(start + STRETCH, len(records)))))
        yield objects._replace(image=objects.image + start)


def file_names(records: Records) -> Iterator[str | None]:
    """Yield the path of each image file, or None for a dataset dict without "file_name"."""
    return _columns(records).file_names()


def image_column(records: Records, name: str) -> np.ndarray:
    """Return the value of ``name`` ("image_id", "height" or "width") in each dataset dict, as an array.

    The data type is int64, or object if dicts can lack the key. Missing values are None.
    """
    return _columns(records).image_column(name)


def files_with_sizes(records: Records) -> Iterator[tuple[str | None, tuple[int | None, int | None]]]:
    """Yield each image file's path and annotated (width, height). Missing values are None."""
    sizes = (image_column(records, name).tolist() for name in ("width", "height"))
    return zip(file_names(records), zip(*sizes, strict=True), strict=True)


def different_pairs(objects: ObjectColumns) -> tuple[np.ndarray, np.ndarray]:
    """Return the P distinct pairs (image, category) of objects as two arrays (P,), sorted by image, then by category.

    The stable sort is fast, because the objects are almost sorted. For LVIS, ``np.unique`` takes 50 times as long.
    """
    width = int(objects.category.max()) + 1 if len(objects.category) else 1
    keys = np.sort(objects.image * width + objects.category, kind="stable")
    return np.divmod(keys[np.diff(keys, prepend=-1) > 0], width)


def images_of_categories(records: Records, *, crowds: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the P distinct pairs (category, image) of all objects as two arrays (P,), sorted by category.

    The first array contains category indices, and the second array contains indices of dataset dicts. LVIS has a
    million pairs. Therefore both arrays have short integer types, which save memory.

    Args:
        records: dataset dicts.
        crowds: if True, include crowds. If False, ignore crowds.
    """
    stretches = (objects if crowds else objects.without_crowds() for objects in object_columns(records))
    pairs = [(np.zeros(0, np.int32), np.zeros(0, np.uint16))]
    pairs += [(image.astype(np.int32), _narrow(category)) for image, category in map(different_pairs, stretches)]
    image, category = map(np.concatenate, zip(*pairs, strict=True))
    del pairs
    order = np.argsort(category, kind="stable")  # fast, because NumPy uses radix sort for 16-bit integers
    return category[order], image[order]


def _narrow(category: np.ndarray) -> np.ndarray:
    fits = not len(category) or 0 <= category.min() <= category.max() < 2**16
    return category.astype(np.uint16) if fits else category
