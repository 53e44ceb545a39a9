"""Evaluation in LVIS's terms of any data set in LVIS or COCO format."""

import copy
import functools
import itertools
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import MetadataCatalog
from detectron2.evaluation import LVISEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from lvis import LVIS

from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.data.records.catalog import category_ids, read_annotation_file
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.evaluate import (
    check_applicable,
    check_options,
    describe,
    evaluable_tasks,
    evaluate_detections,
    reported,
    write_evaluation,
)
from seesaw_d2.evaluation.ground_truth import file_frequency, frequency_letters, lvis_ground_truth
from seesaw_d2.evaluation.metrics import LVIS_DETECTIONS_PER_IMAGE
from seesaw_d2.evaluation.results_files import write_results, write_submission
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

RESULTS_FILE = "lvis_instances_results.json"


class LongTailEvaluator(LVISEvaluator):
    """Detectron2's LVISEvaluator for LVIS itself and for every data set in LVIS or COCO format.

    AP, AP50, AP75, APs, APm, APl and AP of rare, common and frequent categories (APr, APc, APf), in
    percent, of boxes and, if asked for, of masks. What it does otherwise than Detectron2's:

    - any data set, any category ids, groups of any origin; COCO's rules for data in COCO's format;
    - absent groups give nan (there -100); no detections give 0 where there is something to find (there nan);
    - writes ``lvis_instances_results.json``, ``evaluation.json`` (what was evaluated, all metrics) and AP by category
      (``categories.json``, ``categories.csv``), all atomically, not ``instances_predictions.pth``;
    - of data without annotations (LVIS's test sets) writes ``lvis_submission.json``, what LVIS's server takes;
    - keeps detections as columns, and evaluates with hotcoco (``engine``): lvis-api's numbers, faster;
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
        max_dets_per_image: int = LVIS_DETECTIONS_PER_IMAGE,
        frequency: Any = None,
        engine: str = "hotcoco",
        extra_metrics: Sequence[str] = (),
        settings: dict[str, Any] | None = None,
    ):
        """
        Args:
            dataset_name: registered, with an annotation file in LVIS or COCO format.
            tasks: of "bbox" and "segm"; by default those that the predictions have.
            distributed: collect the predictions of all ranks.
            output_dir: for the files; None writes none.
            max_dets_per_image: detections counted in an image; LVIS's is 300, and another is warned of.
            frequency: category id -> "r", "c", "f", or a function of the AnnotationFile that returns that or
                None (unknown: APr, APc and APf are nan). By default the file's own.
            engine: "hotcoco" or "official" (lvis-api).
            extra_metrics: see ``evaluate_detections``.
            settings: of the model, to be named beside the results.
        """
        # Not the base's: it would read the file here, in every process, and only if it is LVIS's.
        check_options(engine, extra_metrics)
        self._logger = logger
        self._dataset_name = dataset_name
        self._tasks = tuple(tasks) if tasks is not None else None
        self._distributed = distributed
        self._output_dir = output_dir
        self._max_dets_per_image = max_dets_per_image
        self._frequency = frequency
        self._engine = engine
        self._extra = tuple(extra_metrics)
        self._settings = settings or {}
        self._cpu_device = torch.device("cpu")
        self._metadata = MetadataCatalog.get(dataset_name)
        self.reset()

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> dict[str, Any]:
        return {
            "dataset_name": dataset_name,
            "tasks": ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",),
            "output_dir": output_dir,
            "max_dets_per_image": min(cfg.TEST.DETECTIONS_PER_IMAGE, LVIS_DETECTIONS_PER_IMAGE),
            "frequency": functools.partial(frequency_letters, cfg.clone(), dataset_name),
            "engine": cfg.TEST.LVIS_ENGINE,
            "extra_metrics": tuple(cfg.TEST.LVIS_METRICS),
            "settings": {
                "score threshold": cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
                "detections kept in an image": cfg.TEST.DETECTIONS_PER_IMAGE,
                "MODEL.WEIGHTS": cfg.MODEL.WEIGHTS or "none",  # in a training what it began with
            },
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
        return bool(self._file.ground_truth)

    def reset(self) -> None:
        self._detections: list[Detections] = []
        self._proposals: list[dict[str, Any]] = []
        self._image_count = 0

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Keep the detections as columns; each mask is encoded here, once."""
        for record, output in zip(inputs, outputs, strict=True):
            self._image_count += 1
            if "instances" in output:
                instances = output["instances"].to(self._cpu_device)
                self._detections.append(Detections.from_instances(instances, record["image_id"]))
            if "proposals" in output:
                proposals = output["proposals"].to(self._cpu_device)
                self._proposals.append({"image_id": record["image_id"], "proposals": proposals})

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """The metrics of each task in the main process, None in the others (as Detectron2's)."""
        has_instances = bool(self._detections)
        mine = (self._image_count, has_instances, Detections.concatenate(self._detections), self._proposals)
        self._detections = []
        parts = [mine]
        if self._distributed:
            comm.synchronize()
            parts = comm.gather(mine, dst=0)
            if not comm.is_main_process():
                return None
        image_count = sum(part[0] for part in parts)
        if not image_count:
            logger.warning("%s: no image was evaluated", self._dataset_name)
            return {}
        self._results = OrderedDict()
        proposals = list(itertools.chain.from_iterable(part[3] for part in parts))
        if proposals:
            self._eval_box_proposals(proposals)
        if any(part[1] for part in parts):
            self._eval_detections(Detections.concatenate([part[2] for part in parts if part[1]]), image_count)
        return copy.deepcopy(self._results)

    def _eval_detections(self, detections: Detections, image_count: int) -> None:
        detections = self._with_dataset_ids(detections)
        if not self._do_evaluation:
            write_submission(self._output_dir, self._dataset_name, detections)
            return
        if self._max_dets_per_image != LVIS_DETECTIONS_PER_IMAGE:
            logger.warning(
                "%s: %d detections count in an image, with LVIS %d (TEST.DETECTIONS_PER_IMAGE): these numbers do not "
                "compare with published ones",
                *(self._dataset_name, self._max_dets_per_image, LVIS_DETECTIONS_PER_IMAGE),
            )
        if self._output_dir:
            write_results(os.path.join(self._output_dir, RESULTS_FILE), detections)
        tasks = evaluable_tasks(self._dataset_name, self._file, detections, self._tasks)
        description = describe(
            self._dataset_name,
            self._file.path,
            self._lvis_api,
            detections,
            evaluated=image_count,
            **self._settings,
            **{"detections counted in an image": self._max_dets_per_image, "engine": self._engine},
            **{"IoU types": " and ".join(tasks)},
        )
        logger.info("Evaluated: %s", "; ".join(f"{key} {value}" for key, value in description.items()))
        metrics, categories = {}, {}
        for task in tasks:
            metrics[task], categories[task] = evaluate_detections(
                self._lvis_api,
                detections,
                task,
                max_dets_per_image=self._max_dets_per_image,
                engine=self._engine,
                extra=self._applicable_metrics(),
                groups_known=self._letters is not None,
            )
            self._results[task] = reported(metrics[task])
            table = create_small_table(self._results[task])
            logger.info("Evaluation of %s, %s:\n%s", self._dataset_name, task, table)
        if self._output_dir:
            write_evaluation(self._output_dir, description, metrics, categories)

    def _applicable_metrics(self) -> list[str]:
        """Those asked for that this data set can have: after hours of training a metric less is no reason to stop."""
        found = []
        for name in self._extra:
            try:
                check_applicable(self._lvis_api, name)
                found.append(name)
            except ConfigError as error:
                logger.warning("%s: left out: %s", self._dataset_name, error)
        return found

    def _with_dataset_ids(self, detections: Detections) -> Detections:
        """Contiguous indices to the file's own ids."""
        ids = np.array(category_ids(self._dataset_name, self._file), dtype=np.int64)
        wrong = (detections.category_ids < 0) | (detections.category_ids >= len(ids))
        if wrong.any():
            raise ConfigError(
                f"MODEL.ROI_HEADS.NUM_CLASSES: expected {len(ids)}, the number of categories of "
                f"{self._dataset_name!r}; found a detection of category index {detections.category_ids[wrong][0]}"
            )
        unknown = np.setdiff1d(detections.image_ids, [image["id"] for image in self._file.images])
        if len(unknown):
            raise DataError(f"{self._dataset_name}: no images of {self._file.path}: image ids {first_few(unknown)}")
        if not np.isfinite(detections.scores).all():
            images = first_few(np.unique(detections.image_ids[~np.isfinite(detections.scores)]))
            raise DataError(f"{self._dataset_name}: the model's scores are not finite in the images {images}")
        return detections.with_category_ids(ids[detections.category_ids])
