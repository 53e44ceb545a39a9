"""Store the detections of many images as arrays, which need a tenth of the memory of one dict per detection.

Shapes: N is the number of detections. The order of the detections is the order in which the model returned them.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco.mask
import numpy as np
import orjson
from detectron2.structures import BoxMode, Instances
from pycocotools import mask as mask_utils

from seesaw_d2.errors import DataError


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes, masks, scores and categories of N detections, in one or more images.

    Attributes:
        image_ids, category_ids: (N,) int64, image id and category id of each detection, as in the annotation file.
        scores: (N,) float64, score of each detection.
        boxes: (N, 4) float64, x, y, width, height in pixels. None if the detections have no boxes.
        sizes: (N, 2) int32, height and width of each mask in pixels. None if the detections have no masks.
        counts: N masks as compressed run lengths (COCO's RLE). None if the detections have no masks.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None
    sizes: np.ndarray | None = None
    counts: Sequence[bytes] | None = None

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def has_masks(self) -> bool:
        return self.counts is not None

    @property
    def kind(self) -> str:
        """Return "boxes", "masks" or "boxes with masks", the data that the detections have, for messages."""
        if not self.has_masks:
            return "boxes"
        return "masks" if self.boxes is None else "boxes with masks"

    @classmethod
    def empty(cls, masks: bool) -> "Detections":
        ids = np.zeros(0, dtype=np.int64)
        mask_columns = (np.zeros((0, 2), dtype=np.int32), []) if masks else (None, None)
        return cls(ids, ids, np.zeros(0), np.zeros((0, 4)), *mask_columns)

    @classmethod
    def from_instances(cls, instances: Instances, image_id: int) -> "Detections":
        """Convert the output of a Detectron2 model for one image.

        Args:
            instances: instances with the CPU tensors "pred_boxes", "pred_classes", "scores" and, optionally,
                "pred_masks".
            image_id: id of the image.

        Returns:
            the detections. Their ``category_ids`` are the model's class indices, not the ids of the annotation file.
        """
        count = len(instances)
        boxes = BoxMode.convert(instances.pred_boxes.tensor.numpy(), BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
        sizes = counts = None
        if instances.has("pred_masks"):
            # Convert and encode one mask at a time. pycocotools requires arrays in Fortran order, and converting all
            # masks at once would need twice the memory.
            planes = (np.asfortranarray(mask, dtype=np.uint8) for mask in instances.pred_masks)
            counts = [mask_utils.encode(plane)["counts"] for plane in planes]
            sizes = np.tile(np.array(instances.image_size, dtype=np.int32), (count, 1))
        return cls(
            np.full(count, image_id, dtype=np.int64),
            instances.pred_classes.numpy().astype(np.int64),
            instances.scores.numpy().astype(np.float64),
            boxes.astype(np.float64).reshape(-1, 4),
            sizes,
            counts,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Detections"]) -> "Detections":
        """Concatenate several ``Detections`` objects. Objects without a detection are ignored.

        Raises:
            ValueError: some objects have masks (or boxes) and others do not.
        """
        filled = [part for part in parts if len(part)]
        if not filled:
            return cls.empty(masks=all(part.has_masks for part in parts))
        kinds = sorted({part.kind for part in filled})
        if len(kinds) > 1:
            raise ValueError(f"parts: expected detections with the same fields, found {' and '.join(kinds)}")
        masks, boxes = filled[0].has_masks, filled[0].boxes is not None
        return cls(
            np.concatenate([part.image_ids for part in filled]),
            np.concatenate([part.category_ids for part in filled]),
            np.concatenate([part.scores for part in filled]),
            np.concatenate([part.boxes for part in filled]) if boxes else None,
            np.concatenate([part.sizes for part in filled]) if masks else None,
            [counts for part in filled for counts in part.counts] if masks else None,
        )

    def __getitem__(self, index: np.ndarray) -> "Detections":
        """Select detections by an array of indices, or by a bool array with one value per detection.

        With indices, the result has the order of the indices.
        """
        positions = np.flatnonzero(index) if index.dtype == bool else index
        masks = self.has_masks
        return Detections(
            self.image_ids[positions],
            self.category_ids[positions],
            self.scores[positions],
            None if self.boxes is None else self.boxes[positions],
            self.sizes[positions] if masks else None,
            [self.counts[i] for i in positions.tolist()] if masks else None,
        )

    def with_category_ids(self, category_ids: np.ndarray) -> "Detections":
        return dataclasses.replace(self, category_ids=category_ids)

    def best_per_image(self, limit: int) -> np.ndarray:
        """Return the indices of the ``limit`` highest-scoring detections of each image.

        The indices are sorted by image id, then by descending score. Equal scores keep the order of the detections.
        """
        return _best_of_each(self.image_ids, self.scores, limit)

    def best_per_category(self, limit: int) -> np.ndarray:
        """Return the indices of the ``limit`` highest-scoring detections of each category over all images.

        The indices are sorted by category id, then by descending score. Equal scores keep the order of the detections.
        """
        return _best_of_each(self.category_ids, self.scores, limit)

    def rles(self) -> list[dict[str, Any]]:
        """Return the masks as dicts in COCO's run-length format, with "size" and compressed "counts"."""
        return [{"size": size, "counts": counts} for size, counts in zip(self.sizes.tolist(), self.counts, strict=True)]

    def to_json(self) -> bytes:
        """Return the detections as JSON in LVIS's results format. Scores and boxes must be finite.

        ``orjson.dumps(self.to_results())`` would give the same result, but take four times as long.
        """
        # Write the JSON of masks directly, without an encoder. Compressed run lengths are printable ASCII text without
        # quotation marks, so that JSON escapes only the backslash.
        ids = zip(self.image_ids.tolist(), self.category_ids.tolist(), strict=True)
        rows = [b'{"image_id":%d,"category_id":%d' % pair for pair in ids]
        if self.boxes is not None:
            rows = [b'%b,"bbox":[%b]' % pair for pair in zip(rows, _numbers(self.boxes, b"],["), strict=True)]
        rows = [b'%b,"score":%b' % pair for pair in zip(rows, _numbers(self.scores, b","), strict=True)]
        if self.has_masks:
            masks = zip(rows, _numbers(self.sizes, b"],["), self.counts, strict=True)
            rows = [
                b'%b,"segmentation":{"size":[%b],"counts":"%b"}' % (row, size, counts.replace(b"\\", b"\\\\"))
                for row, size, counts in masks
            ]
        return b"[" + b",".join([row + b"}" for row in rows]) + b"]"

    def to_results(self) -> list[dict[str, Any]]:
        """Return one dict per detection with the keys of LVIS's results format, such as "image_id" and "score"."""
        columns = {
            "image_id": self.image_ids.tolist(),
            "category_id": self.category_ids.tolist(),
            "score": self.scores.tolist(),
        }
        if self.boxes is not None:
            columns["bbox"] = self.boxes.tolist()
        if self.has_masks:
            columns["segmentation"] = [{**rle, "counts": rle["counts"].decode("ascii")} for rle in self.rles()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _numbers(values: np.ndarray, separator: bytes) -> list[bytes]:
    """Convert each row of an array to JSON without brackets. For example, the row [1.5, 2.0] becomes "1.5,2.0".

    Args:
        values: array with one or two dimensions.
        separator: JSON between two rows: "," for one dimension, "],[" for two dimensions.
    """
    if not len(values):
        return []
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return text.strip(b"[]").split(separator)


def _best_of_each(groups: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    if limit < 0:
        raise ValueError(f"limit: expected a number of detections >= 0, found {limit}")
    order = np.lexsort((-scores, groups))  # sorts by group, then by descending score; equal scores keep their order
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, dtype=int)
    lengths = np.diff(np.r_[starts, len(ordered)])
    rank = np.arange(len(ordered)) - np.repeat(starts, lengths)
    return order[rank < limit]


def mask_areas(rles: list[dict[str, Any]], source: str = "masks") -> np.ndarray:
    """Return the area of each mask in pixels, (N,) float64 for N masks.

    Args:
        rles: masks in COCO's compressed run-length format, dicts with "size" and "counts".
        source: name of the file that contains the masks, for the error message.

    Raises:
        DataError: a mask has a negative run length, or its run lengths cover more pixels than the image has.
    """
    try:
        return np.asarray(hotcoco.mask.area(rles), dtype=np.float64).reshape(-1) if rles else np.zeros(0)
    except ValueError:
        for index, rle in enumerate(rles):
            try:
                hotcoco.mask.area(rle)
            except ValueError as error:
                raise DataError(
                    f'{source}: "segmentation" of detection {index}: cannot decode the run lengths ({error}). Write '
                    "masks as compressed run lengths in COCO's format, for example with pycocotools.mask.encode"
                ) from None
        raise
