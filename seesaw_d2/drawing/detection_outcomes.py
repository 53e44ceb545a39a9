"""Classify detections of an image as right, wrong or unjudged, and objects without a detection as missed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torchvision.ops import box_iou

MIN_IOU = 0.5
RIGHT, WRONG, UNJUDGED, MISSED, TRUTH = "right", "wrong", "unjudged", "missed", "truth"


@dataclass(frozen=True)
class Shown:
    """Describe a detection or a ground-truth object to draw.

    Attributes:
        box: x0, y0, x1, y1 in pixels.
        segmentation: polygons or run lengths in COCO's format, or None for a box without a mask.
        category: contiguous category index.
        verdict: RIGHT, WRONG or UNJUDGED for a detection. MISSED for an object without a detection, TRUTH for any
            other ground-truth object.
    """

    box: Sequence[float]
    segmentation: Any
    category: int
    verdict: str = TRUTH


def judge(detections: list[Shown], truths: list[Shown], judged: set[int] | None) -> list[Shown]:
    """Match detections with the objects of an image, and return both with verdicts.

    A detection is RIGHT if its IoU with an object of the same category is at least 0.5. Each object matches only one
    detection, the one with the highest score. An object is MISSED if its IoU with each detection, of any category, is
    below 0.5.

    Args:
        detections: detections in descending order of scores.
        truths: annotated objects of the image.
        judged: categories of which all objects in the image are annotated, or None for all categories. A detection of
            another category that matches no object is UNJUDGED, because LVIS does not evaluate this detection.

    Returns:
        the detections with their verdicts, followed by the missed objects.
    """
    if not truths or not detections:
        verdicts = [_of_no_object(each, judged) for each in detections]
        return verdicts + [replace(each, verdict=MISSED) for each in truths]
    boxes = [torch.tensor([list(each.box) for each in group], dtype=torch.float64) for group in (detections, truths)]
    fits = box_iou(*boxes) >= MIN_IOU
    free = set(range(len(truths)))
    shown = []
    for each, row in zip(detections, fits.tolist(), strict=True):
        same = [i for i in sorted(free) if row[i] and truths[i].category == each.category]
        free -= set(same[:1])
        shown.append(replace(each, verdict=RIGHT) if same else _of_no_object(each, judged))
    covered = fits.any(dim=0).tolist()
    return shown + [replace(each, verdict=MISSED) for each, found in zip(truths, covered, strict=True) if not found]


def _of_no_object(detection: Shown, judged: set[int] | None) -> Shown:
    return replace(detection, verdict=WRONG if judged is None or detection.category in judged else UNJUDGED)
