"""Compute AP after correcting one kind of error: wrong categories, detections of background, or wrong scores.

The corrections of categories and background come from TIDE (Bolya et al., ECCV 2020), with two deviations. AP is the
mean over all IoU thresholds, not AP50. A detection counts as background below an IoU of 0.5, not 0.1, because heads are
trained with the threshold 0.5.
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
    """Compute AP, APr, APc and APf after correcting each kind of error.

    The suffix of a metric names the correction: ``_relabelled`` (see ``relabelled``), ``_no_confusion`` (see
    ``without_confusions``), ``_no_background`` (see ``without_background``) and ``_ranked`` (see ``ranked``). The
    difference from the metric without a suffix is the AP that the model loses by this kind of error.
    """
    counted = results.detections[results.detections.best_per_image(results.max_dets_per_image)]
    found = group_metrics(ranked(results.curves), results.groups, "ranked")
    for correct, ending in _CORRECTIONS.items():
        corrected = correct(results.ground_truth, counted, results.iou_type)
        curves = results.engine(results.ground_truth, corrected, results.iou_type)
        found |= group_metrics(curves, results.groups, ending)
    return found


def relabelled(ground_truth: LVIS, detections: Detections, iou_type: str) -> Detections:
    """Correct the categories of detections that overlap an object, and remove duplicate detections of an object.

    A detection that has an IoU of at least 0.5 with an object gets the category of the object. If it overlaps several
    objects, an object of its predicted category takes precedence, then the object with the largest IoU. Of several
    detections assigned to the same object, only the detection with the highest score remains. Detections that overlap
    no object do not change.
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
    """Remove detections that overlap (IoU >= 0.5) objects of other categories, but no object of their own category."""
    keep = np.zeros(len(detections), dtype=bool)
    for _, objects, mine, iou in overlaps(ground_truth, detections, iou_type):
        labels = np.array([item["category_id"] for item in objects], dtype=np.int64)
        fits = iou >= MIN_IOU
        right = fits & (labels == detections.category_ids[mine][:, None])
        keep[mine] = right.any(axis=1) | ~fits.any(axis=1)
    return detections[keep]


def without_background(ground_truth: LVIS, detections: Detections, iou_type: str) -> Detections:
    """Remove detections of background. The others have an IoU of at least 0.5 with an object of any category.

    Ignored objects count as objects here.
    """
    keep = np.zeros(len(detections), dtype=bool)
    for _, _, mine, iou in overlaps(ground_truth, detections, iou_type):
        keep[mine] = (iou >= MIN_IOU).any(axis=1)
    return detections[keep]


def ranked(curves: Curves) -> Curves:
    """Return the curves of perfect scores, which sort every correct detection before every wrong detection.

    Precision is then 1 up to the reached recall and 0 above it, so AP equals the recall, rounded to a recall level.
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
