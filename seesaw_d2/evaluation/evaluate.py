"""From detections to metrics, tables of categories, and the words that say what was evaluated."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from lvis import LVIS

from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.coco_categories import COCO_SYNSETS
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.engines import ENGINES
from seesaw_d2.evaluation.ground_truth import subset, without_masks
from seesaw_d2.evaluation.metrics import (
    METRICS,
    average_precision,
    category_average_precision,
    fixed_average_precision,
    group_members,
    mean_of_categories,
    summarize,
)
from seesaw_d2.evaluation.results_files import write_csv, write_json
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

EXTRA_METRICS = ("fixed", "minival", "coco")
_GROUP_METRICS = ("AP", "APr", "APc", "APf")


def check_options(engine: str, extra: Sequence[str]) -> None:
    """Raise ConfigError for a wrong TEST.LVIS_ENGINE or TEST.LVIS_METRICS."""
    if engine not in ENGINES:
        raise ConfigError(f"TEST.LVIS_ENGINE: expected one of {', '.join(ENGINES)}, found {engine!r}")
    for name in extra:
        if name not in EXTRA_METRICS:
            raise ConfigError(f"TEST.LVIS_METRICS: expected some of {', '.join(EXTRA_METRICS)}, found {name!r}")


def check_applicable(ground_truth: LVIS, name: str) -> None:
    """Raise ConfigError if the data set cannot have one of EXTRA_METRICS."""
    if name == "minival":
        minival_image_ids(ground_truth)
    if name == "coco":
        coco_category_ids(ground_truth)


def evaluate_detections(
    ground_truth: LVIS,
    detections: Detections,
    iou_type: str,
    *,
    max_dets_per_image: int = 300,
    engine: str = "hotcoco",
    extra: Sequence[str] = (),
    groups_known: bool = True,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Metrics, and AP by category.

    Args:
        extra: of "fixed" (AP_fixed, see metrics.py), "minival" (AP on the images of LVIS v1 val that are in COCO
            val2017, 4,809 of them, which MDETR and GLIP call minival) and "coco" (AP over the LVIS categories that
            are COCO's, by synset).
        groups_known: False makes APr, APc and APf nan.

    Returns:
        name -> percent, and a row for each category: id, name, frequency, image_count, instance_count (of the
        training set, where the annotation file knows them), val_instances, AP, AP50, AP75.
    """
    counted = detections[detections.best_per_image(max_dets_per_image)]
    groups = group_members(ground_truth) if groups_known else None
    curves = ENGINES[engine](ground_truth, counted, iou_type)
    metrics = summarize(curves, groups)
    if "fixed" in extra:
        fixed = summarize(fixed_average_precision(ground_truth, detections, iou_type, engine), groups)
        metrics |= {f"{name}_fixed": fixed[name] for name in _GROUP_METRICS}
    if "minival" in extra:
        part = subset(ground_truth, minival_image_ids(ground_truth))
        inside = np.isin(detections.image_ids, list(part.imgs))
        found = average_precision(part, detections[inside], iou_type, max_dets_per_image, engine)
        metrics |= {f"{name}_minival": found[name] if groups_known or name == "AP" else float("nan")
                    for name in _GROUP_METRICS}  # fmt: skip
    if "coco" in extra:
        metrics["AP_coco"] = mean_of_categories(curves, coco_category_ids(ground_truth))
    return metrics, _category_rows(ground_truth, category_average_precision(curves), groups_known)


def minival_image_ids(ground_truth: LVIS) -> list[int]:
    """The images of LVIS v1 val that are in COCO's val2017.

    Raises:
        ConfigError: there is none, so that this is no LVIS v1 val.
    """
    ids = [key for key, image in ground_truth.imgs.items() if "/val2017/" in image.get("coco_url", "")]
    if not ids:
        raise ConfigError('TEST.LVIS_METRICS: "minival" needs images of COCO val2017 (by coco_url), found none')
    return ids


def coco_category_ids(ground_truth: LVIS) -> set[int]:
    """The categories whose synset is that of a COCO category."""
    ids = {key for key, category in ground_truth.cats.items() if category.get("synset") in COCO_SYNSETS}
    if not ids:
        raise ConfigError('TEST.LVIS_METRICS: "coco" needs categories with synsets, as LVIS has them, found none')
    return ids


def _category_rows(ground_truth: LVIS, values: dict[str, np.ndarray], groups_known: bool) -> list[dict[str, Any]]:
    instances = dict.fromkeys(ground_truth.cats, 0)
    for annotations in ground_truth.img_ann_map.values():
        for annotation in annotations:
            instances[annotation["category_id"]] += not annotation.get("ignore", 0)
    rows = []
    for index, key in enumerate(sorted(ground_truth.cats)):
        category = ground_truth.cats[key]
        row = {"id": key, "name": category["name"], "frequency": category["frequency"] if groups_known else None}
        row |= {field: category.get(field) for field in ("image_count", "instance_count")}
        row["val_instances"] = instances[key]
        row |= {name: float(column[index]) for name, column in values.items()}
        rows.append(row)
    return rows


def describe(
    name: str, json_file: str, ground_truth: LVIS, detections: Detections, *, evaluated: int, **settings: Any
) -> dict[str, Any]:
    """What was evaluated: the things that make two APs incomparable.

    Args:
        name, json_file: of the data set.
        evaluated: images that detections were asked for.
        settings: more of it, as limits and thresholds.
    """
    _, counts = np.unique(detections.image_ids, return_counts=True)
    return {
        "data set": name,
        "annotation file": os.path.abspath(json_file),
        "version": _version(ground_truth),
        "images in the annotation file": len(ground_truth.imgs),
        "images evaluated": evaluated,
        "categories": len(ground_truth.cats),
        "detections": len(detections),
        "detections in an image, at most": int(counts.max()) if len(counts) else 0,
        "lowest score": float(detections.scores.min()) if len(detections) else None,
        **settings,
    }


def evaluable_tasks(
    name: str, file: AnnotationFile, detections: Detections, tasks: Sequence[str] | None = None
) -> list[str]:
    """Those of the tasks (by default: "bbox" and "segm") that ground truth and detections allow, with a warning."""
    found = list(tasks or ("bbox", "segm"))
    if tasks is None and not detections.has_masks:
        found.remove("segm")
    without = without_masks(file) if "segm" in found else []
    if without:
        logger.warning("%s: masks are not evaluated, objects have none: ids %s", name, first_few(without))
        found.remove("segm")
    elif "segm" in found and not detections.has_masks:
        logger.warning("%s: masks are not evaluated, the model predicts none", name)
        found.remove("segm")
    if "bbox" in found and detections.boxes is None:
        logger.warning("%s: boxes are not evaluated, the results have none", name)
        found.remove("bbox")
    return found


def _version(ground_truth: LVIS) -> str:
    """LVIS's releases differ in the number of categories; the files do not reliably say which they are."""
    synsets = all("synset" in category for category in ground_truth.cats.values())
    return {1203: "LVIS v1", 1230: "LVIS v0.5"}.get(len(ground_truth.cats), "own") if synsets else "own"


def write_evaluation(
    folder: str, description: dict[str, Any], metrics: dict[str, dict[str, float]], categories: dict[str, list]
) -> None:
    """``evaluation.json`` (what was evaluated, every metric) and ``categories.json``, ``categories.csv`` by task."""
    write_json(os.path.join(folder, "evaluation.json"), {"evaluated": description, "metrics": metrics})
    write_json(os.path.join(folder, "categories.json"), categories)
    rows = [{"task": task, **row} for task, found in categories.items() for row in found]
    if rows:
        write_csv(os.path.join(folder, "categories.csv"), rows)


def reported(metrics: dict[str, float]) -> dict[str, float]:
    """Those of the metrics that an evaluator returns: METRICS, and what was asked for beside."""
    return {name: value for name, value in metrics.items() if name in METRICS or "_" in name}
