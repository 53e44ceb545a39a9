"""Compute metrics with the official programs, without code of this project."""

import contextlib
import copy
import io
import logging

import numpy as np
from lvis import LVIS, LVISResults
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seesaw_d2.compat import lvis_eval_class

_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def pycocotools_metrics(data: dict, results: list[dict], iou_type: str) -> tuple[dict, dict]:
    """Return the metrics, and AP of each category id, in percent, without a limit on the number of detections."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = _completed(data, iou_type)
        truth.createIndex()
        found.dataset = {**truth.dataset, "annotations": []}
        found.createIndex()
        if results:
            found = truth.loadRes(_of_type(results, iou_type))
        evaluation = COCOeval(truth, found, iou_type)
        evaluation.params.maxDets = [10_000]
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = (evaluation.eval[name][..., 0] for name in ("precision", "recall"))
    return _summary(precision, recall), _by_category(precision, evaluation.params.catIds)


def lvis_api_metrics(data: dict, results: list[dict], iou_type: str) -> tuple[dict, dict]:
    """Like ``pycocotools_metrics``, but needs at least one result."""
    truth = LVIS.__new__(LVIS)
    truth.logger = logging.getLogger("lvis.lvis")
    truth.dataset = copy.deepcopy(data)
    for number, item in enumerate(truth.dataset["annotations"], start=1):
        item["id"] = number  # lvis-api treats a match with id 0 as no match
        if iou_type == "segm" and not _is_readable(item):
            item["ignore"], item["segmentation"] = 1, _box(item)
    truth._create_index()
    evaluation = lvis_eval_class()(truth, LVISResults(truth, _of_type(results, iou_type)), iou_type)
    evaluation.run()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    metrics = _summary(precision, recall)
    for name in ("APr", "APc", "APf"):
        value = evaluation.get_results()[name]
        metrics[name] = 100 * value if value > -1 else float("nan")
    return metrics, _by_category(precision, evaluation.params.cat_ids)


def _of_type(results: list[dict], iou_type: str) -> list[dict]:
    drop = {"bbox": "segmentation", "segm": "bbox"}[iou_type]
    return [{key: value for key, value in item.items() if key != drop} for item in copy.deepcopy(results)]


def _completed(data: dict, iou_type: str) -> dict:
    """Add the fields, areas and masks that pycocotools needs."""
    data = copy.deepcopy(data)
    for number, item in enumerate(data["annotations"], start=1):
        item["id"] = number  # pycocotools treats a match with id 0 as no match
        item.setdefault("iscrowd", 0)
        if not item.get("area", 0) > 0:
            item["area"] = _pixels(item) or item["bbox"][2] * item["bbox"][3]
        if iou_type == "segm" and not item.get("segmentation"):
            assert item["iscrowd"]
            item["segmentation"] = _box(item)
        elif iou_type == "segm" and not _is_readable(item):
            item["iscrowd"], item["segmentation"] = 1, _box(item)
    return data


def _is_readable(item: dict) -> bool:
    """Return whether a polygon has three points, or pycocotools reads the segmentation as a mask without pixels."""
    segmentation = item["segmentation"]
    if not isinstance(segmentation, list):
        return True
    usable = [polygon for polygon in segmentation if len(polygon) >= 6]
    if usable and len(segmentation[0]) <= 4:
        item["segmentation"] = usable
    return bool(usable) or len(segmentation[0]) > 4


def _pixels(item: dict) -> int:
    segmentation = item.get("segmentation")
    if not segmentation or not _is_readable(item):
        return 0
    truth = COCO()
    truth.imgs = {item["image_id"]: {"height": 120, "width": 120}}
    return int(mask_utils.area(truth.annToRLE(item)))


def _box(item: dict) -> list[list[float]]:
    x, y, w, h = item["bbox"]
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def _summary(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    metrics = {"AP": _mean(precision[..., 0])}
    metrics |= {f"AP{int(100 * t)}": _mean(precision[t == _THRESHOLDS, ..., 0]) for t in (0.5, 0.75)}
    metrics |= {f"AP{size}": _mean(precision[..., index]) for index, size in enumerate("sml", start=1)}
    metrics["AR"] = _mean(recall[..., 0])
    return metrics | {f"AR{size}": _mean(recall[..., index]) for index, size in enumerate("sml", start=1)}


def _by_category(precision: np.ndarray, category_ids) -> dict[int, list[float]]:
    columns = [precision[..., 0], precision[:1, ..., 0], precision[5:6, ..., 0]]
    return {int(key): [_mean(each[:, :, index]) for each in columns] for index, key in enumerate(category_ids)}


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return 100 * float(values.mean()) if values.size else float("nan")
