"""The engine of every evaluation: hotcoco, in Rust."""

import itertools
from typing import Any

import hotcoco
import numpy as np
from lvis import LVIS

from seesaw_d2.evaluation.curves import Curves
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.ranks import RankedGroundTruth
from seesaw_d2.evaluation.results_files import mask_areas

# Images given to hotcoco at a time: enough for speed, and few enough that their dicts take little memory.
_IMAGES_AT_A_TIME = 500
# Larger than every size range (lvis-api's end at 1e10 pixels).
_OUTSIDE_EVERY_RANGE = 1e11
# hotcoco's own, in StreamingEval; no parameter changes it.
_STREAMING_LIMIT = 300


def hotcoco_curves(ground_truth: LVIS, detections: Detections, iou_type: str) -> Curves:
    """By the Rust engine hotcoco: the numbers of lvis-api or pycocotools in a fraction of its time and memory.

    What hotcoco 1.3 does otherwise, and how the numbers become the same:

    - it keeps ids of detections as float64: it gets ranks;
    - it does not know ``ignore``, and treats ``iscrowd`` as COCO does, which lvis-api does not know: with LVIS's
      rules an ignored object gets an area outside every range, which is how lvis-api itself leaves objects of other
      sizes out;
    - given images piece by piece it never counts more than 300 detections of one, which AP_fixed must: where there
      are more it is given all images at once, at the price of memory;
    - lvis-api drops objects and detections without an area before it looks at them: so do we, with LVIS's rules;
    - it takes the size of a detection from its box where detections come as an array: masks are given with a box
      of as many pixels as the mask (hotcoco compares masks by their pixels alone).

    Arguments and result as in ``official_curves``.
    """
    ranked = RankedGroundTruth(ground_truth, iou_type)
    found = ranked.detections(detections)
    counts = np.bincount(found.image_ids, minlength=len(ranked.image_ids))
    if counts.max(initial=0) > _STREAMING_LIMIT:
        evaluation = _evaluated_whole(ranked, found, iou_type)
    else:
        evaluation = _evaluated_in_pieces(ranked, found, counts, iou_type)
    evaluation.accumulate()
    return Curves(
        np.asarray(evaluation.eval["precision"], dtype=np.float64)[..., -1],
        np.asarray(evaluation.eval["recall"], dtype=np.float64)[..., -1],
        ranked.category_ids,
    )


def _evaluated_in_pieces(ranked: RankedGroundTruth, found: Detections, counts: np.ndarray, iou_type: str) -> Any:
    order, ends = np.argsort(found.image_ids, kind="stable"), np.cumsum(counts)
    engine = hotcoco.StreamingEval(ranked.categories(), iou_type, lvis_style=True)
    for start in range(0, len(ranked.image_ids), _IMAGES_AT_A_TIME):
        ranks = range(start, min(start + _IMAGES_AT_A_TIME, len(ranked.image_ids)))
        some = order[ends[ranks.start] - counts[ranks.start] : ends[ranks.stop - 1]]
        array, masks = _array(found[some], iou_type, ranked.coco)
        engine.update(ranked.images(ranks), _objects(ranked, ranks), array, **masks)
    return engine.finalize()


def _evaluated_whole(ranked: RankedGroundTruth, found: Detections, iou_type: str) -> Any:
    ranks = range(len(ranked.image_ids))
    array, masks = _array(found[np.argsort(found.image_ids, kind="stable")], iou_type, ranked.coco)
    objects = _objects(ranked, ranks)
    truth = hotcoco.COCO({"images": ranked.images(ranks), "annotations": objects, "categories": ranked.categories()})
    results = truth.load_res(array, **masks).cap_detections_per_image(None)
    evaluation = hotcoco.COCOeval(truth, results, iou_type, lvis_style=True)
    evaluation.evaluate()
    return evaluation


def _objects(ranked: RankedGroundTruth, ranks: range) -> list[dict[str, Any]]:
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
    """hotcoco's array of detections, (N, 7): image, box, score, category; and their masks."""
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
