"""Evaluate detections: compute the metrics and the AP of each category, and describe the evaluated data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from lvis import LVIS

from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.description import count_beyond_limit, describe, evaluable_tasks
from seesaw_d2.evaluation.detection_metrics import (
    LVIS_DETECTIONS_PER_IMAGE,
    RECALLS,
    DetectionResults,
    category_average_precision,
    group_members,
)
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.ground_truth import GroundTruth, counted_objects
from seesaw_d2.evaluation.ground_truth_rules import ground_truth_with_groups
from seesaw_d2.evaluation.matching_engines import ENGINES
from seesaw_d2.evaluation.metric_registry import METRIC_REGISTRY, compute_metrics
from seesaw_d2.evaluation.results_files import read_results, write_csv, write_json

if TYPE_CHECKING:
    from seesaw_d2.data.records.annotation_files import AnnotationFile

# Each file of ``Evaluation.write``, with text that it contains. Programs do not replace a file without this text.
EVALUATION_FILES = {"evaluation.json": '"evaluated"', "categories.json": '"AP50"', "categories.csv": "task,id,name,"}


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluation.

    Attributes:
        description: dict from a property of the dataset, the model or the evaluation to its value.
        metrics: dict from task ("bbox" or "segm") to a dict from metric to percent.
        categories: dict from task to a list with one dict per category, which contains its id, name, frequency group,
            numbers of images and objects, AP, AP50 and AP75. ``evaluate_detections`` lists the keys.
    """

    description: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    categories: dict[str, list[dict[str, Any]]]

    def reported(self, task: str) -> dict[str, float]:
        """Return the metrics of "bbox" or "segm" without AR, because Detectron2's LVISEvaluator returns no AR."""
        return {name: value for name, value in self.metrics[task].items() if name not in RECALLS}

    def write(self, folder: str) -> None:
        """Write evaluation.json (description and metrics), categories.json and categories.csv (AP by category)."""
        evaluation = {"evaluated": self.description, "metrics": self.metrics}
        write_json(os.path.join(folder, "evaluation.json"), evaluation)
        write_json(os.path.join(folder, "categories.json"), self.categories)
        rows = [{"task": task, **row} for task, found in self.categories.items() for row in found]
        if rows:
            write_csv(os.path.join(folder, "categories.csv"), rows)


def check_options(engine: str, extra: Sequence[str]) -> None:
    """Raise ConfigError if ``engine`` (TEST.LVIS_ENGINE) or a name in ``extra`` (TEST.LVIS_METRICS) is unknown."""
    if engine not in ENGINES:
        raise ConfigError(f"TEST.LVIS_ENGINE: expected one of {', '.join(ENGINES)}, found {engine!r}")
    known = [name for name, metric in METRIC_REGISTRY["detection"].items() if metric.optional]
    for name in extra:
        if name not in known:
            raise ConfigError(f"TEST.LVIS_METRICS: expected names from the list {', '.join(known)}, found {name!r}")


def check_applicable(ground_truth: LVIS, extra: Sequence[str]) -> None:
    """Raise ConfigError if the dataset does not support an optional metric in ``extra``."""
    for name in extra:
        if check := METRIC_REGISTRY["detection"][name].check:
            check(ground_truth)


def evaluate_file(
    results: str,
    file: AnnotationFile,
    frequency: dict[int, str] | None,
    *,
    name: str | None = None,
    engine: str = "hotcoco",
    extra: Sequence[str] = (),
    max_dets_per_image: int = LVIS_DETECTIONS_PER_IMAGE,
) -> Evaluation:
    """Evaluate the detections of a results file.

    Args:
        results: path of a file in LVIS's or COCO's results format.
        file: annotation file with the ground truth.
        frequency: dict from category id to frequency group ("r", "c" or "f"). If None, APr, APc and APf are NaN.
        name: name of the dataset in the description. Default: the name of the annotation file.
        engine: "hotcoco" or "official" (lvis-api or pycocotools).
        extra: names of optional metrics, such as "fixed" (see ``evaluate_detections``).
        max_dets_per_image: maximum number of detections per image. Only the highest-scoring detections are evaluated.

    Raises:
        ConfigError: an argument is invalid, or the dataset does not support an optional metric.
        DataError: the results file is invalid (see ``read_results``).
    """
    check_options(engine, extra)
    if max_dets_per_image < 1:
        raise ConfigError(f"--max-dets: expected an integer >= 1, found {max_dets_per_image}")
    ground_truth = ground_truth_with_groups(file, frequency)
    check_applicable(ground_truth, extra)
    evaluation = evaluate_tasks(
        name or os.path.basename(file.path),
        file,
        ground_truth,
        read_results(results, ground_truth),
        engine=engine,
        extra=extra,
        max_dets_per_image=max_dets_per_image,
    )
    evaluation.description["results file"] = os.path.abspath(results)
    return evaluation


def evaluate_tasks(
    name: str,
    file: AnnotationFile,
    ground_truth: GroundTruth,
    detections: Detections,
    *,
    tasks: Sequence[str] | None = None,
    engine: str = "hotcoco",
    extra: Sequence[str] = (),
    max_dets_per_image: int = LVIS_DETECTIONS_PER_IMAGE,
    num_images: int | None = None,
    settings: dict[str, Any] | None = None,
) -> Evaluation:
    """Evaluate the boxes and masks of detections.

    Args:
        name: name of the dataset.
        file: annotation file.
        ground_truth: ground truth in ``file``, converted by ``ground_truth_with_groups``.
        detections: detections with the ids of the annotation file.
        tasks: "bbox", "segm" or both. Default: "bbox", and "segm" if the detections have masks. Tasks that the data do
            not support are omitted with a warning.
        engine, extra, max_dets_per_image: engine ("hotcoco" or "official"), names of optional metrics and maximum
            number of detections per image (see ``evaluate_detections``).
        num_images: number of images on which the model ran. Default: unknown, as for a results file.
        settings: settings of the model to add to the description.
    """
    tasks = evaluable_tasks(name, file, detections, tasks)
    description = {
        **describe(name, file.path, ground_truth, detections, num_images),
        **(settings or {}),
        "detections counted in an image": max_dets_per_image,
        "detections not counted": count_beyond_limit(name, detections, max_dets_per_image),
        "engine": engine,
        "IoU types": " and ".join(tasks),
    }
    metrics, categories = {}, {}
    for task in tasks:
        metrics[task], categories[task] = evaluate_detections(
            ground_truth,
            detections,
            task,
            max_dets_per_image=max_dets_per_image,
            engine=engine,
            extra=extra,
            groups_known=ground_truth.groups_known,
        )
    return Evaluation(description, metrics, categories)


def evaluate_detections(
    ground_truth: LVIS,
    detections: Detections,
    iou_type: str,
    *,
    max_dets_per_image: int = LVIS_DETECTIONS_PER_IMAGE,
    engine: str = "hotcoco",
    extra: Sequence[str] = (),
    groups_known: bool = True,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Compute the metrics and the AP of each category, for boxes or masks. The arguments are not modified.

    Args:
        ground_truth: ground truth created by ``lvis_ground_truth``.
        detections: detections with the ids of the ground truth.
        iou_type: "bbox" or "segm".
        max_dets_per_image: maximum number of detections per image. Only the highest-scoring detections are evaluated.
        engine: "hotcoco" or "official" (lvis-api or pycocotools).
        extra: names of optional metrics: "fixed", "minival" and "coco" (see ``detection_metrics``), "errors" (see
            ``error_metrics``), or metrics that you registered.
        groups_known: if True, ``frequency`` of each category is the category's frequency group. If False, APr, APc and
            APf are NaN.

    Returns:
        a dict from metric to percent, and a list with one dict per category. The keys of these dicts are:

        - id, name: id and name of the category.
        - frequency: frequency group, "r", "c" or "f". None if ``groups_known`` is False.
        - image_count, instance_count: numbers of training images and training instances. None if the annotation file
          lacks these numbers.
        - val_instances: number of objects that count in AP, without ignored objects. If it is 0, AP is NaN.
        - AP, AP50, AP75: AP in percent.
    """
    groups = group_members(ground_truth) if groups_known else None
    results = DetectionResults(ground_truth, detections, iou_type, ENGINES[engine], max_dets_per_image, groups)
    metrics = compute_metrics("detection", results, tuple(extra))
    instances = counted_objects(ground_truth, iou_type)
    return metrics, _category_rows(ground_truth, category_average_precision(results.curves), instances, groups_known)


def average_precision(
    ground_truth: LVIS,
    detections: Detections,
    iou_type: str,
    max_dets_per_image: int = LVIS_DETECTIONS_PER_IMAGE,
    engine: str = "hotcoco",
) -> dict[str, float]:
    """Compute LVIS's thirteen metrics for boxes or masks. The arguments are not modified.

    Args:
        ground_truth: ground truth created by ``lvis_ground_truth``, with the frequency group of each category.
        detections: detections with the ids of the ground truth.
        iou_type: "bbox" or "segm". APs, APm and APl use the area of the boxes or of the masks, respectively.
        max_dets_per_image: maximum number of detections per image. Only the highest-scoring detections are evaluated.
        engine: "hotcoco" or "official" (lvis-api or pycocotools).

    Returns:
        a dict from metric ("AP", "AP50", ..., "ARl") to percent. A metric is NaN if no object has the metric's size or
        frequency group. A metric is 0 if there are such objects, but no detection matches one of them.
    """
    options = {"max_dets_per_image": max_dets_per_image, "engine": engine}
    return evaluate_detections(ground_truth, detections, iou_type, **options)[0]


def _category_rows(
    ground_truth: LVIS, values: dict[str, np.ndarray], instances: dict[int, int], groups_known: bool
) -> list[dict[str, Any]]:
    rows = []
    for index, key in enumerate(sorted(ground_truth.cats)):
        category = ground_truth.cats[key]
        row = {"id": key, "name": category["name"], "frequency": category["frequency"] if groups_known else None}
        row |= {field: category.get(field) for field in ("image_count", "instance_count")}
        row["val_instances"] = instances[key]
        row |= {name: float(column[index]) for name, column in values.items()}
        rows.append(row)
    return rows
