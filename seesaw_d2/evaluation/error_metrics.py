"""Compute AP after correcting one type of error: wrong categories, detections of background, or wrong scores.

As in TIDE (Bolya et al., ECCV 2020), the AP that a model loses by a type of error is the corrected AP minus the
original AP. This module differs from TIDE in two respects. TIDE uses AP50, and this module averages AP over all IoU
thresholds. In TIDE, a detection is background if its IoU with all objects is below 0.1. In this module, this threshold
is 0.5, as in the training of ROI heads.
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
    """Compute AP, APr, APc and APf after correcting each type of error.

    The name of a metric, such as "AP_relabelled", ends with the correction:

    - "_relabelled": wrong categories are corrected, and duplicates removed (see ``relabelled``).
    - "_no_confusion": detections of objects of other categories are removed (see ``without_confusions``).
    - "_no_background": detections that overlap no object are removed (see ``without_background``).
    - "_ranked": all correct detections get higher scores than all wrong detections (see ``ranked``).

    For example, AP_no_background - AP is the AP that the model loses by detections of background.
    """
    counted = results.detections[results.detections.best_per_image(results.max_dets_per_image)]
    found = group_metrics(ranked(results.curves), results.groups, "ranked")
    for correct, ending in _CORRECTIONS.items():
        corrected = correct(results.ground_truth, counted, results.iou_type)
        curves = results.engine(results.ground_truth, corrected, results.iou_type)
        found |= group_metrics(curves, results.groups, ending)
    return found


def relabelled(ground_truth: LVIS, detections: Detections, iou_type: str) -> Detections:
    """Assign detections to ground-truth objects, correct the categories of the detections, and remove duplicates.

    A detection and an object overlap if their IoU is at least 0.5. Ignored objects are excluded. ``iou_type`` is "bbox"
    or "segm".

    - A detection that overlaps objects of its predicted category is assigned to the object of this category with the
      largest IoU.
    - A detection that overlaps only objects of other categories is assigned to the object with the largest IoU, and
      gets the category of this object.
    - A detection that overlaps no object does not change.

    If several detections are assigned to the same object, only the detection with the highest score remains.
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
    """Remove detections that overlap a ground-truth object, but no object of their predicted category.

    A detection and an object overlap if their IoU is at least 0.5. ``iou_type`` is "bbox" or "segm".
    """
    keep = np.zeros(len(detections), dtype=bool)
    for _, objects, mine, iou in overlaps(ground_truth, detections, iou_type):
        labels = np.array([item["category_id"] for item in objects], dtype=np.int64)
        fits = iou >= MIN_IOU
        right = fits & (labels == detections.category_ids[mine][:, None])
        keep[mine] = right.any(axis=1) | ~fits.any(axis=1)
    return detections[keep]


def without_background(ground_truth: LVIS, detections: Detections, iou_type: str) -> Detections:
    """Remove detections of background, whose IoU with each ground-truth object of any category is below 0.5.

    Ignored objects count as objects here. ``iou_type`` is "bbox" or "segm".
    """
    keep = np.zeros(len(detections), dtype=bool)
    for _, _, mine, iou in overlaps(ground_truth, detections, iou_type):
        keep[mine] = (iou >= MIN_IOU).any(axis=1)
    return detections[keep]


def ranked(curves: Curves) -> Curves:
    """Return precision and recall as if all correct detections had higher scores than all wrong detections.

    Precision is then 1 up to the maximum recall of the detections, and 0 above the maximum recall. AP, the mean
    precision over the recall levels 0, 0.01, ..., 1, is then about the maximum recall.
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
