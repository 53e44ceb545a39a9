"""Warn about objects that training cannot use, and about boxes that do not fit their masks.

Shapes: N is the number of objects. Extents are the boxes around the masks, (N, 4) float64: x1, y1, x2, y2 in pixels.
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
        ids: annotation ids of the objects.
        causes: dict from a box convention (see ``count_readings``) to the number of objects whose boxes fit it.
        example: text with the box of the first object, and the box around the mask of this object.
    """

    ids: list[int] = field(default_factory=list)
    causes: Counter = field(default_factory=Counter)
    example: str = ""


def find_disagreement(ids: np.ndarray, boxes: np.ndarray, extents: np.ndarray, sizes: np.ndarray) -> Disagreement:
    """Find the objects whose boxes disagree with their masks.

    Args:
        ids: (N,) ids of the annotations.
        boxes: (N, 4) x, y, width, height of the boxes in pixels.
        extents: (N, 4) x1, y1, x2, y2 of the boxes around the masks. Objects whose extents are NaN are not compared.
        sizes: (N, 2) height and width of each object's image.
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
        found,
        Counter(count_readings(objects)),
        f"id {found[0]} has the box {box}, but the box around its mask is {expected}",
    )


def describe_disagreement(parts: Sequence[Disagreement], total: int) -> str:
    """Return the text of a warning about boxes that disagree with their masks, or "" if all boxes agree.

    Args:
        parts: results of ``find_disagreement`` for the parts of a file.
        total: number of annotations in the file.
    """
    ids = [value for part in parts for value in part.ids]
    if not ids:
        return ""
    example = next(part.example for part in parts if part.ids)
    text = (
        f"the boxes of {len(ids)} of {total} objects differ from the boxes around their masks: annotation ids "
        f"{first_few(ids)}. For example, {example} (x, y, width, height)"
    )
    causes: Counter = sum((part.causes for part in parts), Counter())
    cause, count = max(causes.items(), key=lambda item: item[1], default=("", 0))
    return f"{text}. {count} of these boxes fit {cause}" if 2 * count > len(ids) else text


@dataclass(frozen=True)
class Findings:
    """Problems in a part of an annotation file that cause warnings instead of errors.

    Attributes:
        ids: (N,) ids of all annotations in this part.
        without_area: ids of the annotations whose box has no area.
        outside: ids of the annotations whose box has an area, but is outside the image.
        without_polygons: ids of the annotations with removed polygons.
        lost: number of annotations all of whose polygons were removed.
        disagreement: objects whose boxes disagree with their masks.
    """

    ids: np.ndarray
    without_area: list[int]
    outside: list[int]
    without_polygons: list[int]
    lost: int
    disagreement: Disagreement


def warn_of(findings: Sequence[Findings], path: str) -> None:
    """Log one warning for each kind of problem in an annotation file.

    Args:
        findings: the problems in each part of the file.
        path: path of the file.
    """
    for name, what in (("without_area", "has no area"), ("outside", "is outside the image")):
        ids = [value for part in findings for value in getattr(part, name)]
        if ids:
            text = f"training ignores {len(ids)} objects whose box {what}: annotation ids {first_few(ids)}"
            warn_once(logger, f"{path}: {text}")
    without_polygons = [value for part in findings for value in part.without_polygons]
    if without_polygons:
        lost = sum(part.lost for part in findings)
        warn_once(
            logger,
            f"{path}: training ignores polygons with fewer than 3 points or an odd number of coordinates: annotation "
            f"ids {first_few(without_polygons)}. Training also ignores {lost} objects that have no other polygon",
        )
    disagreement = describe_disagreement(
        [part.disagreement for part in findings], sum(len(part.ids) for part in findings)
    )
    if disagreement:
        warn_once(logger, f"{path}: {disagreement}")
