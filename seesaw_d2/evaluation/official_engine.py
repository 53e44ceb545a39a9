"""The programs that COCO and LVIS are evaluated with, in Python, to check the other engine with."""

import contextlib
import io
from typing import Any

from lvis import LVIS, LVISResults
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seesaw_d2.compat import lvis_eval_class
from seesaw_d2.evaluation.curves import Curves
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.ground_truth import NO_MASK, follows_coco
from seesaw_d2.evaluation.ranks import RankedGroundTruth

_FIELDS = {"bbox": "bbox", "segm": "segmentation"}


def official_curves(ground_truth: LVIS, detections: Detections, iou_type: str) -> Curves:
    """By lvis-api itself, or pycocotools where COCO's rules hold: some 20 times slower, and gigabytes at LVIS's size.

    Args:
        ground_truth: see ``lvis_ground_truth``.
        detections: those that count: any limit for an image or category has been applied.
        iou_type: "bbox" or "segm".

    Raises:
        DataError: a detection is of an image or a category that the ground truth does not have.
    """
    ranked = RankedGroundTruth(ground_truth, iou_type)
    found = ranked.detections(detections)
    if follows_coco(ground_truth):
        return _pycocotools_curves(ranked, found, iou_type)
    results = _results(detections, iou_type)
    evaluation = lvis_eval_class()(_with_masks(ground_truth, iou_type), _lvis_results(ground_truth, results), iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    return Curves(evaluation.eval["precision"], evaluation.eval["recall"], list(evaluation.params.cat_ids))


def _results(detections: Detections, iou_type: str) -> list[dict[str, Any]]:
    """Both programs take the size from the box where a result has one: with masks it must have none."""
    fields = ("image_id", "category_id", "score", _FIELDS[iou_type])
    return [{key: result[key] for key in fields} for result in detections.to_results()]


def _pycocotools_curves(ranked: RankedGroundTruth, found: Detections, iou_type: str) -> Curves:
    ranks = range(len(ranked.image_ids))
    images, categories, objects = ranked.images(ranks), ranked.categories(), ranked.objects(ranks)
    for item in objects:
        item["iscrowd"] = item["ignore"]
    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        truth.dataset = {"images": images, "categories": categories, "annotations": objects}
        truth.createIndex()
        if len(found):  # loadRes cannot take an empty list
            results = truth.loadRes(_results(found, iou_type))
        else:
            results.dataset = {**truth.dataset, "annotations": []}
            results.createIndex()
        evaluation = COCOeval(truth, results, iou_type)
        evaluation.params.maxDets = [max(len(found), 1)]
        evaluation.evaluate()
        evaluation.accumulate()
    return Curves(evaluation.eval["precision"][..., 0], evaluation.eval["recall"][..., 0], ranked.category_ids)


def _with_masks(ground_truth: LVIS, iou_type: str) -> LVIS:
    """The ground truth in which the objects without a readable mask are ignored, where masks are compared."""
    objects = ground_truth.dataset["annotations"]
    if iou_type != "segm" or not any(item.get(NO_MASK, 0) for item in objects):
        return ground_truth
    changed = LVIS.__new__(LVIS)
    changed.logger = ground_truth.logger
    ignored = [{**item, "ignore": 1} if item.get(NO_MASK, 0) else item for item in objects]
    changed.dataset = {**ground_truth.dataset, "annotations": ignored}
    changed._create_index()
    return changed


def _lvis_results(ground_truth: LVIS, results: list[dict[str, Any]]) -> LVISResults:
    # LVISResults copies the ground truth with all of its annotations, only to put the results in their place.
    frame = LVIS.__new__(LVIS)
    frame.dataset = {**ground_truth.dataset, "annotations": []}
    if results:
        return LVISResults(frame, results, max_dets=-1)
    # It cannot be made of an empty list (it looks at the first result).
    empty = LVISResults.__new__(LVISResults)
    empty.logger = ground_truth.logger
    empty.dataset = frame.dataset
    empty._create_index()
    return empty
