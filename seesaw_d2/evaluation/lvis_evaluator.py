"""Evaluation in LVIS's terms of any data set in LVIS or COCO format."""

import copy
import functools
import itertools
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import MetadataCatalog
from detectron2.evaluation import LVISEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from lvis import LVIS

from seesaw_d2.data.annotations import AnnotationFile
from seesaw_d2.data.catalog import category_ids, read_annotation_file
from seesaw_d2.data.files import first_few
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.ground_truth import (
    file_frequency,
    frequency_letters,
    has_masks,
    lvis_ground_truth,
)
from seesaw_d2.evaluation.metrics import METRICS, average_precision
from seesaw_d2.evaluation.results import submission, write_json

logger = logging.getLogger(__name__)

RESULTS_FILE = "lvis_instances_results.json"
SUBMISSION_FILE = "lvis_submission.json"
LVIS_MAX_DETS = 300  # Gupta et al., CVPR 2019: that many detections an image


class LongTailEvaluator(LVISEvaluator):
    """Detectron2's LVISEvaluator for LVIS itself and for every data set in LVIS or COCO format.

    AP, AP50, AP75, APs, APm, APl and AP of rare, common and frequent categories (APr, APc, APf), in
    percent, of boxes and, if asked for, of masks. What it does otherwise than Detectron2's:

    - any data set, any category ids, groups of any origin; COCO's crowds are ignored;
    - absent groups give nan (there -100); no detections give 0 where there is something to find (there nan);
    - writes ``lvis_instances_results.json`` only, and atomically, not ``instances_predictions.pth``;
    - of data without annotations (LVIS's test sets) writes ``lvis_submission.json``, what LVIS's server takes;
    - reads the ground truth when it is needed, in the process that needs it.
    """

    @configurable
    def __init__(
        self,
        dataset_name: str,
        *,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        max_dets_per_image: int = LVIS_MAX_DETS,
        frequency: Any = None,
    ):
        """
        Args:
            dataset_name: registered, with an annotation file in LVIS or COCO format.
            tasks: of "bbox" and "segm"; by default those that the predictions have.
            distributed: collect the predictions of all ranks.
            output_dir: for the result file; None writes none.
            max_dets_per_image: detections counted in an image; LVIS's is 300, and another is warned of.
            frequency: category id -> "r", "c", "f", or a function of the AnnotationFile that returns that or
                None (unknown: APr, APc and APf are nan). By default the file's own.
        """
        # Not the base's: it would read the file here, in every process, and only if it is LVIS's.
        self._logger = logger
        self._dataset_name = dataset_name
        self._tasks = tuple(tasks) if tasks is not None else None
        self._distributed = distributed
        self._output_dir = output_dir
        self._max_dets_per_image = max_dets_per_image
        self._frequency = frequency
        self._cpu_device = torch.device("cpu")
        self._metadata = MetadataCatalog.get(dataset_name)
        self._predictions: list[dict[str, Any]] = []

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> dict[str, Any]:
        return {
            "dataset_name": dataset_name,
            "tasks": ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",),
            "output_dir": output_dir,
            "max_dets_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "frequency": functools.partial(frequency_letters, cfg.clone(), dataset_name),
        }

    @functools.cached_property
    def _file(self) -> AnnotationFile:
        return read_annotation_file(self._dataset_name)

    @functools.cached_property
    def _letters(self) -> dict[int, str] | None:
        if self._frequency is None:
            return file_frequency(self._file)
        return self._frequency(self._file) if callable(self._frequency) else dict(self._frequency)

    @functools.cached_property
    def _lvis_api(self) -> LVIS:
        # Without groups any letter will do: their metrics are not reported.
        letters = self._letters or dict.fromkeys(self._file.category_ids, "f")
        return lvis_ground_truth(self._file, letters)

    @property
    def _do_evaluation(self) -> bool:
        # LVIS's test sets have no annotations: the evaluation server wants the result file.
        return bool(self._file.annotations)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """The metrics of each task in the main process, None in the others (as Detectron2's)."""
        predictions = self._predictions
        if self._distributed:
            comm.synchronize()
            predictions = list(itertools.chain(*comm.gather(self._predictions, dst=0)))
            if not comm.is_main_process():
                return None
        if not predictions:
            logger.warning("%s: no image was evaluated", self._dataset_name)
            return {}
        self._results = OrderedDict()
        if "proposals" in predictions[0]:
            self._eval_box_proposals(predictions)
        if "instances" in predictions[0]:
            self._eval_predictions(predictions)
        return copy.deepcopy(self._results)

    def _eval_predictions(self, predictions: list[dict[str, Any]]) -> None:
        results = list(itertools.chain.from_iterable(item["instances"] for item in predictions))
        self._restore_category_ids(results)
        if not self._do_evaluation:
            self._write_submission(results)
            return
        if self._max_dets_per_image != LVIS_MAX_DETS:
            logger.warning(
                "%s: %d detections count in an image, with LVIS %d (TEST.DETECTIONS_PER_IMAGE): these numbers do not "
                "compare with published ones",
                *(self._dataset_name, self._max_dets_per_image, LVIS_MAX_DETS),
            )
        if self._output_dir:
            write_json(os.path.join(self._output_dir, RESULTS_FILE), results)
        for task in self._evaluable_tasks(results):
            metrics = average_precision(self._lvis_api, results, task, self._max_dets_per_image)
            if self._letters is None:
                metrics |= dict.fromkeys(("APr", "APc", "APf"), float("nan"))
            logger.info("Evaluation of %s, %s:\n%s", self._dataset_name, task, create_small_table(metrics))
            self._results[task] = {name: metrics[name] for name in METRICS}

    def _write_submission(self, results: list[dict[str, Any]]) -> None:
        name = self._dataset_name
        if not self._output_dir:
            logger.info("%s has no annotations: nothing is evaluated, and no folder was given for results", name)
            return
        path = os.path.join(self._output_dir, SUBMISSION_FILE)
        entries = submission(results)
        write_json(path, entries)
        what = "masks" if entries and "segmentation" in entries[0] else "boxes"
        logger.info(
            "%s has no annotations: nothing is evaluated here. %s holds %d detections (%s) in the format of LVIS's "
            "evaluation server: submit this file there",
            *(name, path, len(entries), what),
        )

    def _restore_category_ids(self, results: list[dict[str, Any]]) -> None:
        """Contiguous indices to the file's own ids, in place."""
        ids = category_ids(self._dataset_name, self._file)
        for result in results:
            if not 0 <= result["category_id"] < len(ids):
                raise ConfigError(
                    f"MODEL.ROI_HEADS.NUM_CLASSES: expected {len(ids)}, the number of categories of "
                    f"{self._dataset_name!r}; found a detection of category index {result['category_id']}"
                )
            result["category_id"] = ids[result["category_id"]]

    def _evaluable_tasks(self, results: list[dict[str, Any]]) -> list[str]:
        tasks = list(self._tasks or self._tasks_from_predictions(results))
        if "segm" not in tasks:
            return tasks
        if not has_masks(self._file):
            without = [item["id"] for item in self._file.annotations if not item.get("segmentation")]
            ids = first_few(without)
            logger.warning("%s: masks are not evaluated, objects have none: ids %s", self._dataset_name, ids)
            tasks.remove("segm")
        elif any("segmentation" not in result for result in results):
            logger.warning("%s: masks are not evaluated, the model predicts none", self._dataset_name)
            tasks.remove("segm")
        return tasks
