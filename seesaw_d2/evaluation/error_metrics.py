"""AP after correcting one kind of error: wrong categories, background, or the order of the detections.

Source of the first two: TIDE (Bolya et al., ECCV 2020). Deviations: AP over all IoU thresholds, where TIDE has AP50; a
detection is background below an IoU of 0.5, where TIDE has 0.1, because heads are trained with 0.5.
"""

import dataclasses

import numpy as np
from lvis import LVIS

from seesaw_d2.evaluation.detection_metrics import DetectionResults, group_metrics
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.ground_truth import Curves
from seesaw_d2.evaluation.metric_registry import register_metric
from seesaw_d2.evaluation.overlaps import overlaps

MIN_IOU = 0.5


@register_metric("errors", optional=True)
def average_precision_without_errors(results: DetectionResults) -> dict[str, float]:
    """Return AP, APr, APc and APf with a suffix for the corrected errors.

    ``_relabelled``, ``_no_confusion``, ``_no_background``, ``_ranked``: see ``relabelled``, ``without_confusions``,
    ``without_background`` and ``ranked``. The difference to AP without a suffix is the cost of these errors.
    """
    counted = results.detections[results.detections.best_per_image(results.max_dets_per_image)]
    found = group_metrics(ranked(results.curves), results.groups, "ranked")
    for correct, ending in _CORRECTIONS.items():
        corrected = correct(results.ground_truth, counted, results.iou_type)
        curves = results.engine(results.ground_truth, corrected, results.iou_type)
        found |= group_metrics(curves, results.groups, ending)
    return found


def relabelled(ground_truth: LVIS, detections: Detections, iou_type: str) -> Detections:
    """Return the detections with the right categories, one for each object.

    A detection with an IoU of at least 0.5 with an object gets the object's category. Of several objects it takes one
    of its own category, or else the one with the largest IoU. Of the detections of an object the one with the highest
    score stays. Other detections do not change.
    """
    categories, keep = detections.category_ids.copy(), np.ones(len(detections), dtype=bool)
    for _, objects, mine, iou in overlaps(ground_truth, detections, iou_type):
        labels = np.array([item["category_id"] for item in objects], dtype=np.int64)
        counted = np.array([not item.get("ignore", 0) for item in objects], dtype=bool)
        fits = (iou >= MIN_IOU) & counted
        right = fits & (labels == categories[mine][:, None])
        chosen = np.where(right.any(axis=1, keepdims=True), right, fits) * iou
        fitting = np.flatnonzero(fits.any(axis=1))
        if not len(fitting):
            continue
        fitting = fitting[np.argsort(-detections.scores[mine[fitting]], kind="stable")]
        owners = chosen[fitting].argmax(axis=1)
        categories[mine[fitting]] = labels[owners]
        _, best = np.unique(owners, return_index=True)
        keep[np.delete(mine[fitting], best)] = False
    return detections.with_category_ids(categories)[keep]


def without_confusions(ground_truth: LVIS, detections: Detections, iou_type: str) -> Detections:
    """Return the detections without those that have an IoU of at least 0.5 with objects of other categories only."""
    keep = np.zeros(len(detections), dtype=bool)
    for _, objects, mine, iou in overlaps(ground_truth, detections, iou_type):
        labels = np.array([item["category_id"] for item in objects], dtype=np.int64)
        fits = iou >= MIN_IOU
        right = fits & (labels == detections.category_ids[mine][:, None])
        keep[mine] = right.any(axis=1) | ~fits.any(axis=1)
    return detections[keep]


def without_background(ground_truth: LVIS, detections: Detections, iou_type: str) -> Detections:
    """Return the detections that have an IoU of at least 0.5 with an object of any category, ignored ones included."""
    keep = np.zeros(len(detections), dtype=bool)
    for _, _, mine, iou in overlaps(ground_truth, detections, iou_type):
        keep[mine] = (iou >= MIN_IOU).any(axis=1)
    return detections[keep]


def ranked(curves: Curves) -> Curves:
    """Return the curves for a perfect order, where all right detections come before wrong ones: precision is 1.

    AP is then the recall, in steps of a recall level.
    """
    levels = np.linspace(0, 1, curves.precision.shape[1])[:, None, None]
    recall = curves.recall[:, None]
    precision = np.where(recall < 0, -1.0, (recall > 0) & (levels <= recall + 1e-9))
    return dataclasses.replace(curves, precision=precision)


_CORRECTIONS = {
    relabelled: "relabelled",
    without_confusions: "no_confusion",
    without_background: "no_background",
}
