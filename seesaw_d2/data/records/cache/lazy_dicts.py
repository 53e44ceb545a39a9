"""Create each dataset dict of a compiled annotation file on access, from the arrays of the compiled file.

Shapes: I is the number of records, and K is the number of categories.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from seesaw_d2.data.records import records as columns
from seesaw_d2.data.records.cache.arrays import ABSENT, NO_SEGMENTATION, POLYGONS, TEXT, Tables, to_name
from seesaw_d2.data.records.formats import ID_LISTS
from seesaw_d2.data.records.records import ObjectColumns
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

# Kind of mask in ``ObjectColumns`` for each kind of segmentation in ``arrays``: none, polygons, TEXT, BYTES.
_MASKS = np.array([columns.NO_MASK, columns.POLYGONS, columns.RUN_LENGTHS, columns.RUN_LENGTHS], np.int8)


class CompiledRecords(Sequence):
    """Sequence of the dataset dicts of an annotation file. The sequence creates each dict on access.

    The dicts equal the results of ``AnnotationFile.to_dataset_dicts``. The sequence implements ``RecordColumns``.
    Processes share the memory-mapped arrays.

    Args:
        tables: arrays of the compiled file, see ``arrays.ARRAYS``.
        image_root: folder of the image files.
        categories: (K,) contiguous id of each category in the file, sorted by category id.
        has_annotations: whether the dicts contain the key "annotations".
        indices: (I,) indices of the images in the file. None: use all images.
    """

    def __init__(
        self,
        tables: Tables,
        image_root: str,
        categories: np.ndarray,
        *,
        has_annotations: bool = True,
        indices: np.ndarray | None = None,
    ):
        self._tables, self._image_root, self._categories = tables, image_root, np.asarray(categories, np.int64)
        self._folder = os.path.join(image_root, "")
        self._has_annotations = has_annotations
        self._indices = np.arange(len(tables["image_id"])) if indices is None else indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        image = int(self._indices[index])
        record = self._image(image)
        if self._has_annotations:
            start, end = self._range("object_end", image)
            record["annotations"] = [self._object(number, record) for number in range(start, end)]
        return record

    def take(self, positions: np.ndarray) -> "CompiledRecords":
        """See ``RecordColumns``."""
        return CompiledRecords(
            self._tables,
            self._image_root,
            self._categories,
            has_annotations=self._has_annotations,
            indices=self._indices[positions],
        )

    def file_names(self) -> Iterator[str]:
        """See ``RecordColumns``."""
        names = memoryview(self._tables["names"])
        for start in range(0, len(self), columns.STRETCH):
            starts, ends = self._ranges("name_end", self._indices[start : start + columns.STRETCH])
            for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
                yield self._folder + to_name(names[first:end])

    def image_column(self, name: str) -> np.ndarray:
        """See ``RecordColumns``."""
        return self._tables[name][self._indices]

    def objects_of(self) -> ObjectColumns:
        """See ``RecordColumns``."""
        tables = self._tables
        starts, ends = self._ranges("object_end", self._indices)
        count = ends - starts
        # indices of the objects in the arrays
        number = np.arange(count.sum()) + np.repeat(ends - np.cumsum(count), count)
        return ObjectColumns(
            image=np.repeat(np.arange(len(self)), count),
            category=self._categories[tables["category"][number]],
            crowd=tables["crowd"][number] == 1,
            mask=_MASKS[tables["kind"][number]],
        )

    def _image(self, image: int) -> dict[str, Any]:
        tables = self._tables
        start, end = self._range("name_end", image)
        record = {
            "height": int(tables["height"][image]),
            "width": int(tables["width"][image]),
            "file_name": self._folder + to_name(tables["names"][start:end]),
            "image_id": int(tables["image_id"][image]),
        }
        for key in ID_LISTS:
            if tables[f"{key}_given"][image]:
                start, end = self._range(f"{key}_end", image)
                record[key] = tables[key][start:end].tolist()
        return record

    def _object(self, number: int, record: dict[str, Any]) -> dict[str, Any]:
        tables = self._tables
        crowd, kind = int(tables["crowd"][number]), int(tables["kind"][number])
        found = {
            "bbox": tables["bbox"][number].tolist(),
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": int(self._categories[tables["category"][number]]),
        }
        if crowd != ABSENT:
            found["iscrowd"] = crowd
        if kind == POLYGONS:
            polygons = (self._range("polygon_end", part) for part in range(*self._range("part_end", number)))
            found["segmentation"] = [tables["coordinates"][start:end].tolist() for start, end in polygons]
        elif kind != NO_SEGMENTATION:
            start, end = self._range("runs_end", number)
            runs = tables["runs"][start:end].tobytes()
            size = [record["height"], record["width"]]
            found["segmentation"] = {"size": size, "counts": runs.decode() if kind == TEXT else runs}
        return found

    def _range(self, ends: str, index: int) -> tuple[int, int]:
        """Return the start and the end of a list in a concatenated array. ``ends`` is the name of the array of ends."""
        array = self._tables[ends]
        return int(array[index - 1]) if index else 0, int(array[index])

    def _ranges(self, ends: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the starts and the ends of the ranges of several indices. See ``_range``."""
        array = self._tables[ends]
        return np.where(indices > 0, array[indices - 1], 0), array[indices]


@dataclass(frozen=True, eq=False)
class CompiledFile:
    """Checked annotation file whose content is stored in arrays.

    Attributes:
        path, format, category_ids, category_names: see ``AnnotationFile``.
        has_annotations: whether the file contains annotations.
        tables: the arrays, see ``arrays.ARRAYS``.
    """

    path: str
    format: str
    category_ids: list[int]
    category_names: list[str]
    has_annotations: bool
    tables: Tables

    def to_dataset_dicts(self, image_root: str, contiguous_ids: dict[int, int] | None = None) -> CompiledRecords:
        """Return the same dicts as ``AnnotationFile.to_dataset_dicts``, in a sequence that creates them on access."""
        contiguous = contiguous_ids or {value: index for index, value in enumerate(self.category_ids)}
        category = self.tables["category"]
        stretches = np.array_split(category, len(category) // 1_000_000 + 1)
        found = np.flatnonzero(sum(np.bincount(each, minlength=len(self.category_ids)) for each in stretches)).tolist()
        unknown = [self.category_ids[index] for index in found if self.category_ids[index] not in contiguous]
        if unknown:
            raise DataError(
                f"{self.path}: expected annotations with the {len(contiguous)} category ids in "
                "thing_dataset_id_to_contiguous_id of the data set's metadata, found annotations with category ids "
                f"that the metadata lacks: {first_few(unknown)}"
            )
        categories = np.array([contiguous.get(value, -1) for value in self.category_ids])
        return CompiledRecords(self.tables, image_root, categories, has_annotations=self.has_annotations)
