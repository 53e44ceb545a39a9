"""Findings that cause a warning: unusable objects, and boxes that disagree with the masks of their objects.

Shapes: N objects. Extents are (N, 4) float64: x1, y1, x2, y2 of the masks in pixels.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seesaw_d2.data.boxes_and_masks.box_readings import Objects, boxes_of, corners_of, count_readings
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)


@dataclass
class Disagreement:
    """Objects whose boxes disagree with their masks.

    Attributes:
        ids: annotation ids of these objects.
        causes: possible cause -> number of objects whose box it explains.
        example: the first object's box and the box of its mask.
    """

    ids: list[int] = field(default_factory=list)
    causes: Counter = field(default_factory=Counter)
    example: str = ""


def find_disagreement(ids: np.ndarray, boxes: np.ndarray, extents: np.ndarray, sizes: np.ndarray) -> Disagreement:
    """Compare boxes with masks.

    Args:
        ids: (N,) ids of the annotations.
        boxes: (N, 4) boxes x, y, width, height.
        extents: (N, 4) extents, NaN for objects that are not compared.
        sizes: (N, 2), height and width of each object's image.
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
    """Return a description of the disagreement in all parts of a file, or "" if there is none.

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


@dataclass(frozen=True)
class Findings:
    """Findings in a part of a file that cause a warning.

    Attributes:
        ids: (N,) ids of all annotations.
        without_area: ids of boxes without an area.
        without_polygons: ids of objects that lost polygons.
        lost: number of these objects that lost all of their polygons.
        disagreement: disagreement of boxes and masks.
    """

    ids: np.ndarray
    without_area: list[int]
    without_polygons: list[int]
    lost: int
    disagreement: Disagreement


def warn_of(findings: Sequence[Findings], path: str) -> None:
    """Log warnings about the findings in all parts of a file."""
    without_area = [value for part in findings for value in part.without_area]
    if without_area:
        found = f"annotation ids {first_few(without_area)}"
        warn_once(logger, f"{path}: {len(without_area)} boxes without an area are not trained on: {found}")
    without_polygons = [value for part in findings for value in part.without_polygons]
    if without_polygons:
        lost = sum(part.lost for part in findings)
        warn_once(
            logger,
            f"{path}: polygons with fewer than 3 points or an odd number of coordinates are not trained on: annotation "
            f"ids {first_few(without_polygons)}; {lost} objects have no other polygon and are not trained on either",
        )
    disagreement = describe_disagreement(
        [part.disagreement for part in findings], sum(len(part.ids) for part in findings)
    )
    if disagreement:
        warn_once(logger, f"{path}: {disagreement}")
