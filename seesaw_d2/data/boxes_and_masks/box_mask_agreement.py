"""Warn about objects that training cannot use, and about boxes that do not fit their masks.

Shapes: N is the number of objects. Extents are the boxes around the masks: x1, y1, x2, y2 in pixels, (N, 4) float64.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seesaw_d2.data.boxes_and_masks.box_readings import (
    Objects,
    are_fractions,
    boxes_of,
    corners_of,
    count_readings,
)
from seesaw_d2.data.boxes_and_masks.boxes_beyond import BoxesBeyond
from seesaw_d2.data.boxes_and_masks.percent_boxes import LARGE, LargeImageBoxes
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)


@dataclass
class Disagreement:
    """Objects whose annotated box differs from the box around their mask, or may have another unit than pixels.

    Attributes:
        ids: annotation ids of the objects whose box differs from the box around their mask.
        causes: for each possible cause, the number of these objects whose box fits the mask under this assumption.
            Example of a key: "if they are read as x1, y1, x2, y2".
        example: text with the annotated box of the first object, and the box around its mask.
        fractions: annotation ids of the objects whose box contains only numbers up to 1, as fractions of the image size
            do. Objects without a mask are included.
        large_image_boxes: extent of the boxes in large images, which shows whether they may contain percent. Objects
            without a mask are included.
        beyond: numbers of boxes without a mask that exceed their images, in several conventions.
    """

    ids: list[int] = field(default_factory=list)
    causes: Counter = field(default_factory=Counter)
    example: str = ""
    fractions: list[int] = field(default_factory=list)
    large_image_boxes: LargeImageBoxes = field(default_factory=LargeImageBoxes)
    beyond: BoxesBeyond = field(default_factory=BoxesBeyond)


def find_disagreement(ids: np.ndarray, boxes: np.ndarray, extents: np.ndarray, sizes: np.ndarray) -> Disagreement:
    """Find the objects whose box differs from the box around their mask, or may contain fractions or percent.

    Args:
        ids: (N,) annotation ids of the N objects.
        boxes: (N, 4) annotated boxes: x, y, width, height in pixels.
        extents: (N, 4) boxes around the masks: x1, y1, x2, y2 in pixels. Objects with NaN are not compared.
        sizes: (N, 2) height and width of each object's image in pixels.
    """
    frames = np.concatenate([sizes[:, ::-1], sizes[:, ::-1]], axis=1)
    maskless = np.isnan(extents[:, 0])
    compared = np.flatnonzero(~maskless)
    objects = Objects(boxes, extents, frames).take(compared)
    wrong = np.flatnonzero(~objects.agree(corners_of(objects.boxes)))
    units = {
        "fractions": ids[are_fractions(boxes)].tolist(),
        "large_image_boxes": LargeImageBoxes.of(ids, boxes, sizes),
        "beyond": BoxesBeyond.of(ids[maskless], boxes[maskless], frames[maskless]),
    }
    if not len(wrong):
        return Disagreement(**units)
    objects, found = objects.take(wrong), ids[compared[wrong]].tolist()
    box, expected = objects.boxes[0].tolist(), boxes_of(objects.extents[0]).round(2).tolist()
    return Disagreement(
        found,
        Counter(count_readings(objects)),
        f"id {found[0]} has the box {box}, but the box around its mask is {expected}",
        **units,
    )


def describe_disagreement(parts: Sequence[Disagreement], total: int) -> str:
    """Return the text of a warning about boxes that differ from the boxes around their masks.

    If more than half of these boxes have the same possible cause, the text names the cause.

    Args:
        parts: the objects with such boxes. A large annotation file is checked in several parts, with one
            ``Disagreement`` for each part.
        total: number of annotations in the file.

    Returns:
        the text, or "" if there are no such boxes.
    """
    ids = [value for part in parts for value in part.ids]
    if not ids:
        return ""
    example = next(part.example for part in parts if part.ids)
    text = (
        f"the boxes of {len(ids)} of {total} objects differ from the boxes around their masks (annotation ids "
        f"{first_few(ids)}). For example, {example} (x, y, width, height)"
    )
    causes: Counter = sum((part.causes for part in parts), Counter())
    cause, count = max(causes.items(), key=lambda item: item[1], default=("", 0))
    return f"{text}. {count} of these boxes fit their masks {cause}" if 2 * count > len(ids) else text


@dataclass(frozen=True)
class Findings:
    """Problems in N annotations of a file that cause warnings instead of errors.

    A large annotation file is checked in several parts, with one ``Findings`` for each part.

    Attributes:
        ids: (N,) ids of all N annotations, with and without problems.
        without_area: ids of the annotations whose box has no area.
        outside: ids of the annotations whose box has an area, but is outside the image.
        without_polygons: ids of the annotations that lost polygons, because the polygons had fewer than three points or
            an odd number of coordinates.
        lost: number of annotations that lost all their polygons.
        disagreement: objects whose annotated box differs from the box around their mask.
    """

    ids: np.ndarray
    without_area: list[int]
    outside: list[int]
    without_polygons: list[int]
    lost: int
    disagreement: Disagreement


def warn_of(findings: Sequence[Findings], path: str) -> None:
    """Log the problems in an annotation file that are not errors.

    The warnings list the boxes without area, the boxes outside the image, the removed polygons, the boxes that do not
    fit their masks and, if they are the majority, the boxes with fractions or percent instead of pixels. They also list
    boxes without masks that exceed their images, if all boxes are inside in another convention.

    Args:
        findings: the problems in the annotations. Each item describes one part of the file.
        path: path of the annotation file.
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
    total = sum(len(part.ids) for part in findings)
    disagreement = describe_disagreement([part.disagreement for part in findings], total)
    if disagreement:
        warn_once(logger, f"{path}: {disagreement}")
    fractions = [value for part in findings for value in part.disagreement.fractions]
    if 2 * len(fractions) > total:
        warn_once(
            logger,
            f"{path}: {len(fractions)} of {total} boxes contain only numbers up to 1 (annotation ids "
            f"{first_few(fractions)}). If the numbers are fractions of the image size, convert the boxes to pixels",
        )
    beyond = BoxesBeyond.joined([part.disagreement.beyond for part in findings]).describe()
    if beyond:
        warn_once(logger, f"{path}: {beyond}")
    large = LargeImageBoxes.joined([part.disagreement.large_image_boxes for part in findings])
    if large.are_percent():
        ids = f"{', '.join(map(str, large.ids[:5]))}, … ({large.count} in all)"
        warn_once(
            logger,
            f"{path}: all boxes in images of at least {LARGE} x {LARGE} pixels end before 101, and extend over the "
            f"range from 0 to 100 (annotation ids {ids}). If the numbers are percent of the image size, convert the "
            "boxes to pixels",
        )
