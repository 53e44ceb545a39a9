"""Create each dataset dict of a large annotation file on access, from arrays on disk.

Shapes: I is the number of dataset dicts.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import numpy as np
from detectron2.structures import BoxMode

from seesaw_d2.data.records import records as columns
from seesaw_d2.data.records.cache.encoding import Tables, to_name
from seesaw_d2.data.records.records import ObjectColumns


class _Object(TypedDict, total=False):
    """Type of the objects in stored JSON, which become elements of "annotations" in a dataset dict.

    The type ``float`` makes msgspec convert integer coordinates to floats. With integers, Detectron2 would truncate the
    coordinates of resized polygons.
    """

    bbox: list[float]
    category_id: int
    iscrowd: int | bool
    segmentation: list[list[float]] | dict[str, Any] | None


class _Record(TypedDict, total=False):
    """Type of the JSON object that the array "texts" contains for each image."""

    neg_category_ids: list[int]
    not_exhaustive_category_ids: list[int]
    annotations: list[_Object]


_decode = msgspec.json.Decoder(_Record).decode


class CompiledRecords(Sequence):
    """Sequence of the dataset dicts of an annotation file. Each dict is created on access from arrays.

    The dicts are equal to the dicts of ``AnnotationFile.to_dataset_dicts``. All processes share the memory-mapped
    arrays. The sequence implements ``RecordColumns``, so file names, sizes and categories can be read without creating
    the dicts.

    Args:
        tables: arrays of the annotation file, as listed in ``encoding.ARRAYS``.
        image_root: folder of the image files.
        categories: dict from category id to contiguous id, in ascending order of category ids.
        indices: (I,) indices in the file of the I images that this sequence contains. If None, use all images.
    """

    def __init__(
        self, tables: Tables, image_root: str, categories: dict[int, int], *, indices: np.ndarray | None = None
    ):
        self._tables, self._image_root, self._categories = tables, image_root, categories
        self._folder = os.path.join(image_root, "")
        self._indices = np.arange(len(tables["image_id"])) if indices is None else indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        tables, image = self._tables, int(self._indices[index])
        record = {
            "height": int(tables["height"][image]),
            "width": int(tables["width"][image]),
            "file_name": self._folder + to_name(tables["names"][self._range("name_end", image)]),
            "image_id": int(tables["image_id"][image]),
            **_decode(tables["texts"][self._range("text_end", image)]),
        }
        for item in record.get("annotations", ()):
            item["bbox_mode"] = BoxMode.XYWH_ABS
            item["category_id"] = self._categories[item["category_id"]]
            if not item.get("segmentation", True):
                del item["segmentation"]
        return record

    def take(self, positions: np.ndarray) -> "CompiledRecords":
        """Return the dataset dicts at ``positions``, an integer array of indices into this sequence."""
        return CompiledRecords(self._tables, self._image_root, self._categories, indices=self._indices[positions])

    def file_names(self) -> Iterator[str]:
        """Yield the path of each image file."""
        names = memoryview(self._tables["names"])
        for start in range(0, len(self), columns.STRETCH):
            starts, ends = self._ranges("name_end", self._indices[start : start + columns.STRETCH])
            for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
                yield self._folder + to_name(names[first:end])

    def image_column(self, name: str) -> np.ndarray:
        """Return the value of ``name`` ("image_id", "height" or "width") in each of the I dataset dicts, (I,) int64."""
        return self._tables[name][self._indices]

    def objects_of(self) -> ObjectColumns:
        """Return arrays with the image, category, crowd flag and type of mask of all objects."""
        tables = self._tables
        starts, ends = self._ranges("object_end", self._indices)
        count = ends - starts
        categories = np.array(list(self._categories.values()), np.int64)
        # Positions of the objects in the arrays of the file: starts[i], ..., ends[i] - 1 for each image i of this
        # sequence.
        number = np.arange(count.sum()) + np.repeat(ends - np.cumsum(count), count)
        return ObjectColumns(
            image=np.repeat(np.arange(len(self)), count),
            category=categories[tables["category"][number]],
            crowd=tables["crowd"][number],
            mask=tables["mask"][number],
        )

    def _range(self, ends: str, index: int) -> slice:
        """Return the slice of one image's values in an array that contains the values of all images.

        Args:
            ends: name of the array with the end index of each image's values, such as "name_end".
            index: index of the image in the file.
        """
        array = self._tables[ends]
        return slice(int(array[index - 1]) if index else 0, int(array[index]))

    def _ranges(self, ends: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the start index and the end index of the values of several images, as two arrays.

        Args:
            ends: name of the array with the end index of each image's values, such as "name_end".
            indices: indices of the images in the file.
        """
        array = self._tables[ends]
        return np.where(indices > 0, array[indices - 1], 0), array[indices]


@dataclass(frozen=True, eq=False)
class CompiledFile:
    """Content of a checked annotation file, stored in arrays.

    Attributes:
        path: path of the annotation file.
        format: name of the file's format, such as "lvis".
        category_ids: category ids in ascending order.
        category_names: category names in the order of ``category_ids``.
        tables: arrays with the images and objects, as listed in ``encoding.ARRAYS``.
    """

    path: str
    format: str
    category_ids: list[int]
    category_names: list[str]
    tables: Tables

    def to_dataset_dicts(self, image_root: str, contiguous_ids: dict[int, int] | None = None) -> CompiledRecords:
        """Return Detectron2's dataset dicts, sorted by image id. Each dict is created on access.

        Args:
            image_root: folder of the image files.
            contiguous_ids: dict from category id to contiguous id. If None, use the indices in ``category_ids``.
        """
        contiguous = contiguous_ids or {value: index for index, value in enumerate(self.category_ids)}
        categories = {value: contiguous[value] for value in self.category_ids}
        return CompiledRecords(self.tables, image_root, categories)
