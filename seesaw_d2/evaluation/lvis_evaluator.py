"""Evaluate detections with LVIS's metrics on any dataset in LVIS or COCO format."""

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

from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.data.records.catalog import category_ids, read_annotation_file
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.category_frequency import frequency_letters, letters_of_file
from seesaw_d2.evaluation.description import model_settings
from seesaw_d2.evaluation.detection_metrics import LVIS_DETECTIONS_PER_IMAGE, detections_per_image
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.earlier_results import remove_files
from seesaw_d2.evaluation.evaluate import EVALUATION_FILES, check_applicable, check_options, evaluate_tasks
from seesaw_d2.evaluation.ground_truth import GroundTruth
from seesaw_d2.evaluation.ground_truth_rules import ground_truth_with_groups
from seesaw_d2.evaluation.results_files import write_results, write_submission
from seesaw_d2.evaluation.tested_images import EFFECT_ON_AP, warn_of_images
from seesaw_d2.utils.declared_keys import added_value
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

RESULTS_FILE = "lvis_instances_results.json"


class LongTailEvaluator(LVISEvaluator):
    """Evaluate detections with LVIS's metrics on LVIS or any other dataset in LVIS or COCO format.

    The metrics are AP, AP50, AP75, APs, APm, APl, APr, APc and APf in percent, for boxes and, if requested, for masks.
    APr, APc and APf average over rare, common and frequent categories. Differences from Detectron2's LVISEvaluator:

    - Any category ids and any frequency groups are valid. In COCO format, crowds are treated as in pycocotools.
    - AP of a group without categories is NaN instead of -100. AP of a model without detections is 0 instead of NaN.
    - The output files are ``lvis_instances_results.json``, ``evaluation.json`` (description and metrics),
      ``categories.json`` and ``categories.csv`` (AP by category). ``instances_predictions.pth`` is not written.
    - If the dataset has no annotations, like LVIS's test sets, the only output file is ``lvis_submission.json``, the
      input of LVIS's evaluation server.
    - The default engine is hotcoco, which computes the same numbers as lvis-api in less time.
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
            dataset_name: name of a registered dataset with an annotation file in LVIS or COCO format.
            tasks: "bbox", "segm" or both. Default: "bbox", and "segm" if the predictions have masks.
            distributed: if True, evaluate the predictions of all processes. If False, only those of this process.
            output_dir: folder of the output files. If None, the evaluator writes no files.
            max_dets_per_image: maximum number of detections per image. Only the highest-scoring detections are
                evaluated. If this number differs from LVIS's 300, the evaluator logs a warning.
            frequency: dict from category id to frequency group ("r", "c" or "f"), or a function that returns it for an
                ``AnnotationFile`` (None for unknown groups). Default: ``frequency`` in the annotation file. If it is
                missing, APr, APc and APf are NaN. If a config is given, the images of DATASETS.TRAIN are counted.
            engine: "hotcoco" or "official" (lvis-api).
            extra_metrics: names of optional metrics: "fixed", "minival", "coco", "errors" or registered metrics.
            settings: settings of the model to write to ``evaluation.json``, a dict from name to value.
        """
        # The constructor of LVISEvaluator is not called, because it supports only LVIS's own annotation files, and
        # reads the file in each process.
        check_options(engine, extra_metrics)
        self._logger = logger
        self._dataset_name = dataset_name
        self._tasks = tuple(tasks) if tasks is not None else None
        self._distributed = distributed
        self._output_dir = output_dir
        self._max_dets_per_image = max_dets_per_image
        self._frequency = functools.partial(letters_of_file, dataset_name) if frequency is None else frequency
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
            "max_dets_per_image": detections_per_image(cfg),
            "frequency": functools.partial(frequency_letters, cfg.clone(), dataset_name),
            "engine": added_value(cfg, "TEST.LVIS_ENGINE"),
            "extra_metrics": tuple(cfg.TEST.LVIS_METRICS),
            "settings": model_settings(cfg),
        }

    @functools.cached_property
    def _file(self) -> AnnotationFile:
        return read_annotation_file(self._dataset_name)

    @functools.cached_property
    def _lvis_api(self) -> GroundTruth:
        letters = self._frequency(self._file) if callable(self._frequency) else self._frequency
        return ground_truth_with_groups(self._file, letters)

    @property
    def _do_evaluation(self) -> bool:
        # LVIS's test sets have no annotations. Only LVIS's evaluation server can evaluate results on these sets.
        return bool(self._file.ground_truth)

    def reset(self) -> None:
        self._detections: list[Detections] = []
        self._proposals: list[dict[str, Any]] = []
        self._image_ids: list[int] = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Store the detections of a batch as arrays, with run-length encoded masks.

        Args:
            inputs: dataset dicts of the images, with "image_id".
            outputs: for each image, the dict that a Detectron2 model returns, with "instances" or "proposals".
        """
        for record, output in zip(inputs, outputs, strict=True):
            self._image_ids.append(record["image_id"])
            if "instances" in output:
                instances = output["instances"].to(self._cpu_device)
                self._detections.append(Detections.from_instances(instances, record["image_id"]))
            if "proposals" in output:
                proposals = output["proposals"].to(self._cpu_device)
                self._proposals.append({"image_id": record["image_id"], "proposals": proposals})

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Compute the metrics of the stored detections, and write the output files.

        Returns:
            in the main process, a dict from task ("bbox" or "segm") to a dict from metric to percent. None in the other
            processes.
        """
        mine = (self._image_ids, bool(self._detections), Detections.concatenate(self._detections), self._proposals)
        self._detections = []
        parts = [mine]
        if self._distributed:
            comm.synchronize()
            parts = comm.gather(mine, dst=0)
            if not comm.is_main_process():
                return None
        image_ids = list(itertools.chain.from_iterable(part[0] for part in parts))
        if not image_ids:
            logger.warning("%s: the metrics are empty, because the test loader returned no images", self._dataset_name)
            return {}
        warn_of_images(self._dataset_name, [image["id"] for image in self._file.images], image_ids, EFFECT_ON_AP)
        self._results = OrderedDict()
        proposals = list(itertools.chain.from_iterable(part[3] for part in parts))
        if proposals:
            self._eval_box_proposals(proposals)
        if any(part[1] for part in parts):
            self._eval_detections(Detections.concatenate([part[2] for part in parts if part[1]]), len(image_ids))
        return copy.deepcopy(self._results)

    def _eval_detections(self, detections: Detections, image_count: int) -> None:
        detections = self._with_dataset_ids(detections)
        if not self._do_evaluation:
            write_submission(self._output_dir, self._dataset_name, detections)
            return
        if self._max_dets_per_image != LVIS_DETECTIONS_PER_IMAGE:
            logger.warning(
                "%s: TEST.DETECTIONS_PER_IMAGE limits the evaluation to the best %d detections of each image, but LVIS "
                "evaluates %d. Do not compare these results with published results",
                *(self._dataset_name, self._max_dets_per_image, LVIS_DETECTIONS_PER_IMAGE),
            )
        if self._output_dir:
            remove_files(self._output_dir, EVALUATION_FILES)
            write_results(os.path.join(self._output_dir, RESULTS_FILE), detections)
        evaluation = evaluate_tasks(
            self._dataset_name,
            self._file,
            self._lvis_api,
            detections,
            tasks=self._tasks,
            engine=self._engine,
            extra=self._applicable_metrics(),
            max_dets_per_image=self._max_dets_per_image,
            num_images=image_count,
            settings=self._settings,
        )
        logger.info("Evaluated: %s", "; ".join(f"{key} {value}" for key, value in evaluation.description.items()))
        for task in evaluation.metrics:
            self._results[task] = evaluation.reported(task)
            logger.info("Evaluation of %s, %s:\n%s", self._dataset_name, task, create_small_table(self._results[task]))
        if self._output_dir:
            evaluation.write(self._output_dir)

    def _applicable_metrics(self) -> list[str]:
        """Return the names in ``extra_metrics`` that the dataset supports. Log a warning for each other name."""
        found = []
        for name in self._extra:
            try:
                check_applicable(self._lvis_api, [name])
                found.append(name)
            except ConfigError as error:
                logger.warning("%s: the optional metric %r is not computed: %s", self._dataset_name, name, error)
        return found

    def _with_dataset_ids(self, detections: Detections) -> Detections:
        """Replace the class indices that the model predicts by the category ids of the annotation file.

        Raises:
            ConfigError: the model has more classes than the dataset has categories.
            DataError: the annotation file lacks the image of a detection, or a score or box is not finite.
        """
        ids = np.array(category_ids(self._dataset_name, self._file), dtype=np.int64)
        wrong = (detections.category_ids < 0) | (detections.category_ids >= len(ids))
        if wrong.any():
            raise ConfigError(
                f"MODEL.ROI_HEADS.NUM_CLASSES: expected predicted class indices below {len(ids)}, found class index "
                f"{detections.category_ids[wrong][0]}. Dataset {self._dataset_name!r} has {len(ids)} categories. Set "
                f"NUM_CLASSES to {len(ids)}"
            )
        unknown = np.setdiff1d(detections.image_ids, [image["id"] for image in self._file.images])
        if len(unknown):
            raise DataError(
                f"{self._dataset_name}: expected detections with image ids of {self._file.path}, found detections with "
                f"unknown image ids: {first_few(unknown)}"
            )
        finite = np.isfinite(np.column_stack([detections.scores, detections.boxes])).all(axis=1)
        if not finite.all():
            images = first_few(np.unique(detections.image_ids[~finite]))
            raise DataError(
                f"{self._dataset_name}: expected finite scores and boxes from the model, found NaN or infinite values "
                f"in the images with ids {images}. Check MODEL.WEIGHTS, because the training may have diverged"
            )
        return detections.with_category_ids(ids[detections.category_ids])
