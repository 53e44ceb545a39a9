"""Boxes that disagree with the masks of their own objects.

Shapes: N objects, P polygons. Extents are (N, 4) float64: x1, y1, x2, y2 of the masks in pixels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from seesaw_d2.data.records.box_readings import Objects, count_readings
from seesaw_d2.data.records.boxes import boxes_of, corners_of
from seesaw_d2.utils.messages import first_few


@dataclass
class Disagreement:
    """The objects whose boxes disagree with their masks.

    Attributes:
        ids: of their annotations.
        causes: what may be wrong with the boxes -> number of objects for which it explains the box.
        example: the first one's box, and its mask's.
    """

    ids: list[int] = field(default_factory=list)
    causes: Counter = field(default_factory=Counter)
    example: str = ""


def find_disagreement(ids: np.ndarray, boxes: np.ndarray, extents: np.ndarray, sizes: np.ndarray) -> Disagreement:
    """Compare boxes with masks.

    Args:
        ids: (N,) of the annotations.
        boxes: (N, 4) x, y, width, height.
        extents: (N, 4), nan for objects that are not compared.
        sizes: (N, 2), height and width of each one's image.
    """
    frames = np.concatenate([sizes[:, ::-1], sizes[:, ::-1]], axis=1)
    compared = np.flatnonzero(~np.isnan(extents[:, 0]))
    objects = Objects(boxes, extents, frames).take(compared)
    wrong = np.flatnonzero(~objects.agree(corners_of(objects.boxes)))
    if not len(wrong):
        return Disagreement()
    objects, found = objects.take(wrong), ids[compared[wrong]].tolist()
    box, expected = objects.boxes[0].tolist(), boxes_of(objects.extents[0]).round(2).tolist()
    return Disagreement(
        found, Counter(count_readings(objects)), f"id {found[0]} has the box {box}, its mask {expected}"
    )


def describe_disagreement(parts: Sequence[Disagreement], total: int) -> str:
    """Return what to say of the disagreement in all parts of a file; "" if there is none.

    Args:
        total: number of annotations in the file.
    """
    ids = [value for part in parts for value in part.ids]
    if not ids:
        return ""
    example = next(part.example for part in parts if part.ids)
    text = (
        f"the boxes of {len(ids)} of {total} objects are not those of their masks: annotation ids {first_few(ids)}; "
        f"{example} (x, y, width, height)"
    )
    causes: Counter = sum((part.causes for part in parts), Counter())
    cause, count = max(causes.items(), key=lambda item: item[1], default=("", 0))
    return f"{text}. {count} of these boxes are {cause}" if 2 * count > len(ids) else text


def polygon_extents(owners: np.ndarray, ends: np.ndarray, coordinates: np.ndarray, count: int) -> np.ndarray:
    """Return the extents of ``count`` objects, nan for those without a polygon.

    Args:
        owners: (P,) int64, ascending, the object that each polygon belongs to.
        ends: (P,) where each one's coordinates end.
        coordinates: x, y, x, y, ..., an even number of them for each polygon, and at least one pair.
    """
    extents = np.full((count, 4), np.nan)
    if len(owners):
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        starts = np.concatenate([[0], ends[:-1]])[first] // 2
        for axis in (0, 1):
            column = np.ascontiguousarray(coordinates[axis::2])
            extents[owners[first], axis] = np.minimum.reduceat(column, starts)
            extents[owners[first], axis + 2] = np.maximum.reduceat(column, starts)
    return extents


def run_length_extents(masks: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return the extents of valid run-length masks, compressed or not; zeros for an empty mask."""
    compressed = [
        mask_utils.frPyObjects(mask, *mask["size"]) if isinstance(mask["counts"], list) else mask for mask in masks
    ]
    return corners_of(np.asarray(mask_utils.toBbox(compressed), np.float64).reshape(-1, 4))
