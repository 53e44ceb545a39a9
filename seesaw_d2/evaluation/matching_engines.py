"""Compute precision and recall of detections with hotcoco (Rust), or with lvis-api and pycocotools (Python)."""

import contextlib
import io
import itertools
from collections.abc import Callable
from typing import Any

import hotcoco
import numpy as np
from lvis import LVIS, LVISResults
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seesaw_d2.compat import lvis_eval_class
from seesaw_d2.evaluation.detections import Detections, mask_areas
from seesaw_d2.evaluation.ground_truth import (
    LARGEST_AREA,
    NO_MASK,
    Curves,
    GroundTruth,
    RankedGroundTruth,
    follows_coco,
)

# Each call of hotcoco evaluates this number of images. A larger number is faster, but needs more memory.
_CHUNK = 500
# Ignored objects get this area in pixels. It is outside of all size ranges, and hotcoco ignores objects with such an
# area.
_OUTSIDE_EVERY_RANGE = 10 * LARGEST_AREA
# hotcoco's StreamingEval uses at most this number of detections per image. If an image has more detections, all images
# are evaluated in one call without StreamingEval, which needs more memory.
_STREAMING_LIMIT = 300
_FIELDS = {"bbox": "bbox", "segm": "segmentation"}


def hotcoco_curves(ground_truth: LVIS, detections: Detections, iou_type: str) -> Curves:
    """Compute precision and recall with hotcoco, which needs less time and memory than lvis-api and pycocotools.

    This function compensates for the following differences between hotcoco 1.3 and lvis-api:

    - hotcoco stores ids as float64, which would round large ids. Therefore this function replaces image ids and
      category ids by their indices in ascending order of ids.
    - hotcoco does not read ``ignore``, and treats ``iscrowd`` as COCO does. With LVIS's rules, this function gives an
      ignored object an area outside of all size ranges, because hotcoco ignores objects outside of a size range.
    - hotcoco's ``StreamingEval`` evaluates images in chunks, but uses at most 300 detections per image, which is too
      few for AP_fixed. If an image has more detections, this function evaluates all images in one call, which needs
      more memory. Unless ``max_dets`` is larger, that call also uses at most 300 detections of a category per image.
    - lvis-api drops objects and detections without an area. With LVIS's rules, this function also drops these objects
      and detections.
    - hotcoco computes the size of a detection from its box. For masks, this function passes a box with the area of the
      mask. This box has no other effect, because hotcoco computes the IoU of masks from their pixels.

    Args:
        ground_truth: ground truth as an lvis-api object, created by ``lvis_ground_truth``.
        detections: detections to evaluate. The caller must apply limits per image or per category before the call.
        iou_type: "bbox" or "segm".

    Raises:
        DataError: the ground truth does not contain the image or the category of a detection.
    """
    ranked = RankedGroundTruth(ground_truth, iou_type)
    found = ranked.detections(detections)
    counts = np.bincount(found.image_ids, minlength=len(ranked.image_ids))
    if counts.max(initial=0) > _STREAMING_LIMIT:
        evaluation = _evaluate_at_once(ranked, found, iou_type)
    else:
        evaluation = _evaluate_in_chunks(ranked, found, counts, iou_type)
    evaluation.accumulate()
    precision, recall = (
        np.asarray(evaluation.eval[name], dtype=np.float64)[..., -1] for name in ("precision", "recall")
    )
    return Curves(precision, recall, ranked.category_ids)


def _evaluate_in_chunks(ranked: RankedGroundTruth, found: Detections, counts: np.ndarray, iou_type: str) -> Any:
    order, ends = np.argsort(found.image_ids, kind="stable"), np.cumsum(counts)
    engine = hotcoco.StreamingEval(ranked.categories(), iou_type, lvis_style=True)
    for start in range(0, len(ranked.image_ids), _CHUNK):
        ranks = range(start, min(start + _CHUNK, len(ranked.image_ids)))
        chunk = order[ends[ranks.start] - counts[ranks.start] : ends[ranks.stop - 1]]
        array, masks = _array(found[chunk], iou_type, ranked.coco)
        engine.update(ranked.images(ranks), _objects(ranked, ranks), array, **masks)
    return engine.finalize()


def _evaluate_at_once(ranked: RankedGroundTruth, found: Detections, iou_type: str) -> Any:
    ranks = range(len(ranked.image_ids))
    array, masks = _array(found[np.argsort(found.image_ids, kind="stable")], iou_type, ranked.coco)
    objects = _objects(ranked, ranks)
    truth = hotcoco.COCO({"images": ranked.images(ranks), "annotations": objects, "categories": ranked.categories()})
    results = truth.load_res(array, **masks).cap_detections_per_image(None)
    evaluation = hotcoco.COCOeval(truth, results, iou_type, lvis_style=True)
    evaluation.params.max_dets = [int(np.bincount(found.image_ids).max(initial=1))]
    evaluation.evaluate()
    return evaluation


def _objects(ranked: RankedGroundTruth, ranks: range) -> list[dict[str, Any]]:
    """Return the annotations of some images in the form in which hotcoco ignores the same objects as lvis-api.

    hotcoco does not read ``ignore``. With COCO's rules, ignored objects get ``iscrowd`` 1. With LVIS's rules, ignored
    objects get an area outside of all size ranges, and objects without an area are dropped.

    Args:
        ranked: ground truth with indices instead of ids.
        ranks: indices of the images, in ascending order of image ids.
    """
    objects = ranked.objects(ranks)
    if ranked.coco:
        for item in objects:
            item["iscrowd"] = item.pop("ignore")
        return objects
    objects = [item for item in objects if 0 < item["area"] < np.inf]
    for item in objects:
        item["iscrowd"] = 0
        if item.pop("ignore"):
            item["area"] = _OUTSIDE_EVERY_RANGE
    return objects


def _array(detections: Detections, iou_type: str, coco: bool) -> tuple[np.ndarray, dict[str, list]]:
    """Convert detections to the input of hotcoco.

    Args:
        detections: N detections with image and category indices instead of ids.
        iou_type: "bbox" or "segm".
        coco: if False, LVIS's rules apply, and detections without an area are omitted. If True, COCO's rules apply.

    Returns:
        an array (N, 7) with image, box (x, y, width, height), score and category of each detection, and a dict with the
        list of masks as "segmentation". For "bbox", the dict is empty.
    """
    if iou_type == "bbox":
        boxes, masks = detections.boxes, []
        area = boxes[:, 2] * boxes[:, 3]
    else:
        masks = detections.rles()
        area = mask_areas(masks)
        zero, one = np.zeros(len(area)), np.ones(len(area))
        boxes = np.column_stack([zero, zero, area, one])
    counted = np.full(len(area), True) if coco else (area > 0) & (area < np.inf)
    columns = (detections.image_ids, boxes, detections.scores, detections.category_ids)
    array = np.column_stack(columns).astype(np.float64).reshape(-1, 7)[counted]
    return array, {"segmentation": list(itertools.compress(masks, counted))} if iou_type == "segm" else {}


def official_curves(ground_truth: LVIS, detections: Detections, iou_type: str) -> Curves:
    """Compute precision and recall with lvis-api, or with pycocotools if the ground truth follows COCO's rules.

    The results of this function are the reference for ``hotcoco_curves``. With lvis-api, this function takes 36 times
    as long as hotcoco for boxes, and 8 times as long for masks (benchmarks/README.md). It needs gigabytes of memory for
    LVIS.

    Args:
        ground_truth: ground truth as an lvis-api object, created by ``lvis_ground_truth``.
        detections: detections to evaluate. The caller must apply limits per image or per category before the call.
        iou_type: "bbox" or "segm".

    Raises:
        DataError: the ground truth does not contain the image or the category of a detection.
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
    """Return the detections as dicts in LVIS's results format, with only boxes ("bbox") or only masks ("segm").

    With boxes and masks, lvis-api and pycocotools would compute the size of a detection from the box instead of the
    mask.
    """
    fields = ("image_id", "category_id", "score", _FIELDS[iou_type])
    return [{key: result[key] for key in fields} for result in detections.to_results()]


def _pycocotools_curves(ranked: RankedGroundTruth, found: Detections, iou_type: str) -> Curves:
    """Compute precision and recall with pycocotools.

    Args:
        ranked: ground truth with indices instead of ids.
        found: detections with the same image and category indices.
        iou_type: "bbox" or "segm".
    """
    ranks = range(len(ranked.image_ids))
    images, categories, objects = ranked.images(ranks), ranked.categories(), ranked.objects(ranks)
    for item in objects:
        item["iscrowd"] = item["ignore"]
    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        truth.dataset = {"images": images, "categories": categories, "annotations": objects}
        truth.createIndex()
        if len(found):  # loadRes raises an error for an empty list
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
    """Return the ground truth unchanged or, for "segm", with ``ignore`` 1 for each object without a readable mask.

    lvis-api then ignores these objects.
    """
    data = ground_truth.dataset
    if iou_type != "segm" or not any(item.get(NO_MASK, 0) for item in data["annotations"]):
        return ground_truth
    ignored = [{**item, "ignore": 1} if item.get(NO_MASK, 0) else item for item in data["annotations"]]
    return GroundTruth.from_data({**data, "annotations": ignored})


def _lvis_results(ground_truth: LVIS, results: list[dict[str, Any]]) -> LVISResults:
    # LVISResults copies the annotations of the ground truth, and then discards the copy. Pass ground truth without
    # annotations to save time and memory.
    frame = LVIS.__new__(LVIS)
    frame.dataset = {**ground_truth.dataset, "annotations": []}
    if results:
        return LVISResults(frame, results, max_dets=-1)
    # The constructor of LVISResults fails for an empty list, because it reads the first result. Create the object
    # without it.
    empty = LVISResults.__new__(LVISResults)
    empty.logger = ground_truth.logger
    empty.dataset = frame.dataset
    empty._create_index()
    return empty


# Functions that compute precision and recall. The keys are the values of the config key TEST.LVIS_ENGINE.
ENGINES: dict[str, Callable[[LVIS, Detections, str], Curves]] = {
    "hotcoco": hotcoco_curves,
    "official": official_curves,
}
