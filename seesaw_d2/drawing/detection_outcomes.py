"""Compare the detections of an image with the annotated objects, to draw right, wrong and missed objects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torchvision.ops import box_iou

MIN_IOU = 0.5
RIGHT, WRONG, UNJUDGED, MISSED, TRUTH = "right", "wrong", "unjudged", "missed", "truth"


@dataclass(frozen=True)
class Shown:
    """Detection or ground-truth object to draw.

    Attributes:
        box: x0, y0, x1, y1 in pixels.
        segmentation: polygons or run-length mask in COCO's format, or None for a box without a mask.
        category: index of the category, in [0, number of categories).
        verdict: result of the comparison, for the color of the drawing:

            - RIGHT: detection that matches an object of its category.
            - WRONG: detection that matches no object of its category.
            - UNJUDGED: detection that LVIS does not evaluate, because not all objects of its category are annotated.
            - MISSED: ground-truth object without a detection.
            - TRUTH: any other ground-truth object.
    """

    box: Sequence[float]
    segmentation: Any
    category: int
    verdict: str = TRUTH


def judge(detections: list[Shown], truths: list[Shown], judged: set[int] | None) -> list[Shown]:
    """Match the detections of an image with the annotated objects, and set the verdict of each.

    A detection is RIGHT if the IoU of its box with an object of the same category is at least 0.5. Each object matches
    only one detection, the one with the highest score. Detections that match no object are WRONG or UNJUDGED. An object
    is MISSED if its IoU with every detection, of any category, is below 0.5.

    Args:
        detections: detections in descending order of scores.
        truths: annotated objects of the image.
        judged: categories of which all objects in the image are annotated, or None for all categories. A detection of
            another category that matches no object is UNJUDGED, because LVIS does not evaluate such a detection.

    Returns:
        the detections with the new verdicts, followed by the objects that are MISSED. Other objects are not returned.
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
