"""The two programs that match detections with objects; both give the same curves.

T IoU thresholds, R recall levels, C categories by ascending id, A object sizes (all, small, medium, large).
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np
from lvis import LVIS, LVISResults

from seesaw_d2.compat import lvis_eval_class
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.results_files import mask_areas

# Images given to hotcoco at a time: enough for speed, and few enough that their dicts take little memory.
_IMAGES_AT_A_TIME = 500
# Larger than every size range (lvis-api's end at 1e10 pixels).
_OUTSIDE_EVERY_RANGE = 1e11
# hotcoco's own, in StreamingEval; no parameter changes it.
_STREAMING_LIMIT = 300


@dataclass(frozen=True, eq=False)
class Curves:
    """What evaluation finds. -1 where there is nothing to find (no object of that category and size).

    ``precision``: (T, R, C, A) float64. ``recall``: (T, C, A) float64. ``category_ids``: C ids, ascending.
    """

    precision: np.ndarray
    recall: np.ndarray
    category_ids: list[int]


def hotcoco_curves(ground_truth: LVIS, detections: Detections, iou_type: str) -> Curves:
    """By the Rust engine hotcoco: the numbers of lvis-api in a fraction of its time and memory.

    What hotcoco 1.3 does otherwise than lvis-api, and how the numbers become the same:

    - it does not know ``ignore``, and treats ``iscrowd`` as COCO does (lvis-api does not know it): an ignored object
      gets an area outside every range, which is how lvis-api itself leaves objects of other sizes out;
    - given images piece by piece it never counts more than 300 detections of one, which AP_fixed must: where there
      are more it is given all images at once, at the price of memory;
    - lvis-api drops objects and detections without an area before it looks at them: so do we;
    - it takes the size of a detection from its box where detections come as an array: masks are given with a box
      of as many pixels as the mask (hotcoco compares masks by their pixels alone).

    Arguments and result as in ``official_curves``.
    """
    order = np.argsort(detections.image_ids, kind="stable")
    ordered_ids = detections.image_ids[order]
    _, counts = np.unique(ordered_ids, return_counts=True)
    whole = counts.max(initial=0) > _STREAMING_LIMIT
    engine = hotcoco.StreamingEval(_plain_categories(ground_truth), iou_type, lvis_style=True)
    image_ids = np.array(sorted(ground_truth.imgs), dtype=np.int64)
    step = len(image_ids) if whole else _IMAGES_AT_A_TIME
    for start in range(0, len(image_ids), step):
        some = image_ids[start : start + step]
        low, high = np.searchsorted(ordered_ids, [some[0], some[-1] + 1])
        images, objects = _images_and_objects(ground_truth, some.tolist(), iou_type)
        array, masks = _array(detections[order[low:high]], iou_type)
        if not whole:
            engine.update(images, objects, array, **masks)
    if whole:
        truth = {"images": images, "annotations": objects, "categories": _plain_categories(ground_truth)}
        truth = hotcoco.COCO(truth)
        found = truth.load_res(array, **masks).cap_detections_per_image(None)
        evaluation = hotcoco.COCOeval(truth, found, iou_type, lvis_style=True)
        evaluation.evaluate()
    else:
        evaluation = engine.finalize()
    evaluation.accumulate()
    found = evaluation.eval
    return Curves(
        np.asarray(found["precision"], dtype=np.float64)[..., -1],
        np.asarray(found["recall"], dtype=np.float64)[..., -1],
        sorted(ground_truth.cats),
    )


def _plain_categories(ground_truth: LVIS) -> list[dict[str, Any]]:
    return [
        {"id": key, "name": str(ground_truth.cats[key].get("name", key)), "frequency": "f"}
        for key in sorted(ground_truth.cats)
    ]


def _images_and_objects(ground_truth: LVIS, image_ids: list[int], iou_type: str):
    images, objects = [], []
    for key in image_ids:
        image = ground_truth.imgs[key]
        image_fields = {field: image[field] for field in ("id", "height", "width")}
        for field in ("neg_category_ids", "not_exhaustive_category_ids"):
            image_fields[field] = list(image[field])
        images.append(image_fields)
        for annotation in ground_truth.img_ann_map.get(key, ()):
            if not 0 < annotation["area"] < float("inf"):
                continue
            item = {field: annotation[field] for field in ("id", "image_id", "category_id", "bbox")}
            item["area"] = _OUTSIDE_EVERY_RANGE if annotation.get("ignore", 0) else float(annotation["area"])
            item["iscrowd"] = 0
            if iou_type == "segm":
                item["segmentation"] = annotation["segmentation"]
            objects.append(item)
    return images, objects


def _array(detections: Detections, iou_type: str) -> tuple[np.ndarray, dict[str, list]]:
    """hotcoco's array of detections, (N, 7): image, box, score, category; and their masks."""
    if iou_type == "bbox":
        boxes, masks = detections.boxes, []
        area = boxes[:, 2] * boxes[:, 3]
    else:
        masks = detections.rles()
        area = mask_areas(masks)
        zero, one = np.zeros(len(area)), np.ones(len(area))
        boxes = np.column_stack([zero, zero, area, one])
    visible = (area > 0) & (area < np.inf)
    columns = (detections.image_ids, boxes, detections.scores, detections.category_ids)
    array = np.column_stack(columns).astype(np.float64).reshape(-1, 7)[visible]
    return array, {"segmentation": list(itertools.compress(masks, visible))} if iou_type == "segm" else {}


def official_curves(ground_truth: LVIS, detections: Detections, iou_type: str) -> Curves:
    """By lvis-api itself, to check the other engine with: some 20 times slower, and gigabytes at LVIS's size.

    Args:
        ground_truth: see ``lvis_ground_truth``.
        detections: those that count: any limit for an image or category has been applied.
        iou_type: "bbox" or "segm".
    """
    field = {"bbox": "bbox", "segm": "segmentation"}[iou_type]
    # lvis-api takes the size from the box where a result has one: with masks it must have none.
    fields = ("image_id", "category_id", "score", field)
    results = [{key: result[key] for key in fields} for result in detections.to_results()]
    evaluation = lvis_eval_class()(ground_truth, _lvis_results(ground_truth, results), iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    found = evaluation.eval
    return Curves(found["precision"], found["recall"], list(evaluation.params.cat_ids))


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


# By the name in TEST.LVIS_ENGINE.
ENGINES: dict[str, Callable[[LVIS, Detections, str], Curves]] = {
    "hotcoco": hotcoco_curves,
    "official": official_curves,
}
