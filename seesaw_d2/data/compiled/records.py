"""Dataset dicts that are made when they are asked for.

Shapes: I records, K categories.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.structures import BoxMode

from seesaw_d2.data.columns import ObjectColumns, renumbered
from seesaw_d2.data.compiled.tables import ABSENT, ID_LISTS, NO_SEGMENTATION, POLYGONS, TEXT, Tables


class CompiledRecords(Sequence):
    """Detectron2's dataset dicts of an annotation file, each made from arrays when it is asked for.

    A sequence that equals the list of ``AnnotationFile.to_dataset_dicts`` entry by entry, without holding more than the
    arrays, which lie in a file: 100,000 images with 1.3 million objects cost a process no memory of its own.

    Args:
        tables: see ``tables.ARRAYS``.
        image_root: folder that the image files are relative to.
        categories: (K,) the contiguous index of each of the file's categories, by ascending id.
        has_annotations: False for a file without: the records then have no key "annotations".
        indices: (I,) the images; None: all.
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
        self._tables, self._image_root, self._categories = tables, image_root, np.asarray(categories)
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
        """Some of the records, by their positions."""
        return CompiledRecords(
            self._tables,
            self._image_root,
            self._categories,
            has_annotations=self._has_annotations,
            indices=self._indices[positions],
        )

    def outline(self) -> list[dict[str, Any]]:
        """All records without what is large: an object has its category, its ``iscrowd`` and whether it has polygons,
        run lengths or no segmentation, with nothing in it. Objects that are alike are one dict, not to be changed."""
        tables, alike = self._tables, {}
        columns = (tables[key].tolist() for key in ("category", "crowd", "kind"))
        objects = []
        for key in zip(*columns, strict=True):
            found = alike.get(key)
            if found is None:
                found = alike[key] = self._alike(*key)
            objects.append(found)
        starts, ends = self._bounds("object_end")
        records = []
        for image in self._indices.tolist():
            record = self._image(image)
            if self._has_annotations:
                record["annotations"] = objects[starts[image] : ends[image]]
            records.append(record)
        return records

    def object_columns(self) -> ObjectColumns:
        """See ``outlines.object_columns``: from the arrays, without a record."""
        tables = self._tables
        image = np.repeat(np.arange(len(tables["object_end"])), np.diff(tables["object_end"], prepend=0))
        category = np.asarray(self._categories, np.int64)[tables["category"]]
        crowd = tables["crowd"] == 1
        return renumbered((image, category, crowd), self._indices, len(tables["object_end"]))

    def _alike(self, category: int, crowd: int, kind: int) -> dict[str, Any]:
        found = {"category_id": int(self._categories[category])}
        if crowd != ABSENT:
            found["iscrowd"] = crowd
        if kind != NO_SEGMENTATION:
            found["segmentation"] = [] if kind == POLYGONS else {}
        return found

    def _image(self, image: int) -> dict[str, Any]:
        tables = self._tables
        start, end = self._range("name_end", image)
        record = {
            "height": int(tables["height"][image]),
            "width": int(tables["width"][image]),
            "file_name": os.path.join(self._image_root, tables["names"][start:end].tobytes().decode()),
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
        array = self._tables[ends]
        return int(array[index - 1]) if index else 0, int(array[index])

    def _bounds(self, ends: str) -> tuple[list[int], list[int]]:
        array = self._tables[ends].tolist()
        return [0, *array[:-1]], array
