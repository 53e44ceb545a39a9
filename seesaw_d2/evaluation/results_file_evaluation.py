"""Evaluation of a results file, of whatever program, without a model."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from lvis import LVIS

from seesaw_d2.data.records.annotation_files import AnnotationFile, read_annotations
from seesaw_d2.data.records.catalog import categories_of, check_registered, read_annotation_file
from seesaw_d2.data.records.validation import check_training_order
from seesaw_d2.errors import ConfigError, DataError, WeightsError
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.evaluate import (
    check_options,
    describe,
    evaluable_tasks,
    evaluate_detections,
    write_evaluation,
)
from seesaw_d2.evaluation.ground_truth import file_frequency, frequency_letters, lvis_ground_truth
from seesaw_d2.evaluation.results_files import read_results
from seesaw_d2.utils.categories import Categories, check_checkpoint, entry_of
from seesaw_d2.weights.checkpoint_edits import read_checkpoint

logger = logging.getLogger(__name__)


def evaluate_file(
    results: str,
    *,
    dataset: str | None = None,
    annotations: str | None = None,
    cfg: CfgNode | None = None,
    checkpoint: str | None = None,
    engine: str = "hotcoco",
    extra: Sequence[str] = (),
    max_dets_per_image: int = 300,
    output: str | None = None,
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Metrics of the detections in a file.

    Args:
        results: in LVIS's (or COCO's) results format.
        dataset: name of a registered data set, or
        annotations: an annotation file in LVIS or COCO format.
        cfg: for the groups of data without them (DATASETS.TRAIN, DATASETS.FREQUENCY_THRESHOLDS); the categories of
            DATASETS.TRAIN are compared with those that are evaluated.
        checkpoint: of the model that made the results, whose categories are compared, too.
        engine, extra, max_dets_per_image: see ``evaluate_detections``.
        output: folder for the files of ``write_evaluation``; None writes none.

    Returns:
        What was evaluated, and task -> metric -> percent.

    Raises:
        ConfigError, DataError, WeightsError: something given is wrong; nothing has been written then.
    """
    check_options(engine, extra)
    if max_dets_per_image < 1:
        raise ConfigError(f"detections counted in an image: expected at least 1, found {max_dets_per_image}")
    file, letters = _ground_truth(dataset, annotations, cfg)
    tested = (
        Categories(tuple(file.category_names), file.path) if dataset is None else categories_of(dataset, "--dataset")
    )
    _check_categories(tested, file.category_ids, cfg, checkpoint)
    ground_truth = lvis_ground_truth(file, letters or dict.fromkeys(file.category_ids, "f"))
    detections = read_results(results, ground_truth)
    name = dataset or os.path.basename(annotations)
    tasks = evaluable_tasks(name, file, detections)
    description = _describe(name, file, ground_truth, detections, max_dets_per_image, engine, tasks, results)
    metrics, categories = {}, {}
    for task in tasks:
        metrics[task], categories[task] = evaluate_detections(
            ground_truth,
            detections,
            task,
            max_dets_per_image=max_dets_per_image,
            engine=engine,
            extra=extra,
            groups_known=letters is not None,
        )
    if output:
        write_evaluation(output, description, metrics, categories)
    return description, metrics


def _ground_truth(
    dataset: str | None, annotations: str | None, cfg: CfgNode | None
) -> tuple[AnnotationFile, dict[int, str] | None]:
    if dataset is not None:
        check_registered(dataset, "--dataset")
        file = read_annotation_file(dataset)
    else:
        file = read_annotations(annotations)
    if not file.ground_truth:
        raise DataError(f"{file.path}: no annotations (a test set?), so that nothing can be evaluated")
    if dataset is not None and cfg is not None:
        return file, frequency_letters(cfg, dataset, file)
    return file, file_frequency(file)


def _check_categories(tested: Categories, ids: list[int], cfg: CfgNode | None, checkpoint: str | None) -> None:
    if cfg is not None:
        check_training_order(cfg, tested, ids)
    if checkpoint is None:
        return
    found = entry_of(read_checkpoint(checkpoint), checkpoint)
    if found is None:
        raise WeightsError(f"{checkpoint}: expected a checkpoint that keeps its categories, found none in it")
    if warning := check_checkpoint(found, tested):
        logger.warning(warning)


def _describe(
    name: str,
    file: AnnotationFile,
    ground_truth: LVIS,
    detections: Detections,
    max_dets_per_image: int,
    engine: str,
    tasks: list[str],
    results: str,
) -> dict[str, Any]:
    return describe(
        name,
        file.path,
        ground_truth,
        detections,
        evaluated=len(set(detections.image_ids.tolist())),
        **{"detections counted in an image": max_dets_per_image, "engine": engine},
        **{"IoU types": " and ".join(tasks), "results file": os.path.abspath(results)},
    )
