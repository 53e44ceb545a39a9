"""Evaluate image classifiers: accuracy by number of training images ("shots") of a class, and calibration error."""

import itertools
import logging
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table

from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.classification_metrics import ClassificationResults
from seesaw_d2.evaluation.metric_registry import compute_metrics
from seesaw_d2.evaluation.results_files import write_csv
from seesaw_d2.evaluation.tested_images import EFFECT_ON_MEANS, warn_of_registered_images
from seesaw_d2.frequency_groups import SHOT_NAMES, frequency_groups
from seesaw_d2.utils.declared_keys import added_value
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

PER_CLASS_FILE = "per_class.csv"
CONFUSION_FILE = "confusion.csv"
CALIBRATION_FILE = "calibration.csv"
PREDICTIONS_FILE = "predictions.csv"


class ClassificationEvaluator(DatasetEvaluator):
    """Compute top-1 accuracy, overall and by shots, and the expected calibration error of image classifiers.

    The shots of a class are the number of its training images. With DATASETS.FREQUENCY_THRESHOLDS [19, 100], a class
    with more than 100 training images belongs to the group "many". A class with 20 to 100 images belongs to "medium",
    and a class with fewer images to "few" (Kang et al., ICLR 2020).

    ``evaluate()`` returns {"classification": metrics}, where ``metrics`` is a dict with the keys "overall", "many",
    "medium", "few" (accuracies) and "ECE" (expected calibration error), all in percent.

    ``evaluate()`` writes these files to ``output_dir``:

    - ``per_class.csv``: accuracy and precision of each class.
    - ``confusion.csv``: pairs of confused classes.
    - ``calibration.csv``: mean confidence and accuracy in each of 15 bins of confidence.
    - ``predictions.csv``: predicted class and confidence of each image.

    Args:
        dataset_name: name of a registered dataset of labelled images.
        train_count: function without arguments that returns an array with the number of training images of each class,
            or None if these numbers are unknown.
        thresholds: maximum number of training images of a class in the group "few", and in the group "medium".
        output_dir: folder of the files. If None, the evaluator writes no files.
        distributed: if True, gather the predictions of all processes. If False, evaluate only those of this process.
    """

    @configurable
    def __init__(
        self,
        dataset_name: str,
        *,
        train_count: Callable[[], np.ndarray | None],
        thresholds=(19, 100),
        output_dir: str | None = None,
        distributed: bool = True,
    ):
        self._dataset_name = dataset_name
        self._train_count = train_count
        self._thresholds = tuple(thresholds)
        self._output_dir = output_dir
        self._distributed = distributed
        self.reset()

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> dict[str, Any]:
        return {
            "dataset_name": dataset_name,
            "train_count": lambda: training_statistics(cfg).image_count if cfg.DATASETS.TRAIN else None,
            "thresholds": added_value(cfg, "DATASETS.FREQUENCY_THRESHOLDS"),
            "output_dir": output_dir,
        }

    def reset(self) -> None:
        self._rows: list[tuple[int, int, float]] = []
        self._images: list[Any] = []

    def process(self, inputs, outputs) -> None:
        """Store the predicted class and the confidence of each image.

        Args:
            inputs: dicts with the true class "label" and, optionally, "image_id".
            outputs: dicts with "probabilities", a tensor with the probability of each class.
        """
        confidence, predicted = torch.stack([output["probabilities"] for output in outputs]).float().max(dim=1)
        labels = [item["label"] for item in inputs]
        self._rows += zip(labels, predicted.tolist(), confidence.tolist(), strict=True)
        self._images += [item.get("image_id") for item in inputs]

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Compute the metrics of the stored predictions, and write the CSV files to ``output_dir``.

        Returns:
            {"classification": metrics} in the main process, where ``metrics`` maps "overall", "many", "medium", "few"
            and "ECE" to percent. None in the other processes. If no image was processed, an empty dict.

        Raises:
            ConfigError: the model has more classes than the dataset.
            DataError: a probability is not finite.
        """
        rows, images = self._rows, self._images
        if self._distributed:
            comm.synchronize()
            rows, images = (list(itertools.chain(*comm.gather(mine, dst=0))) for mine in (rows, images))
            if not comm.is_main_process():
                return None
        if not rows:
            logger.warning("%s: the metrics are empty, because the test loader returned no images", self._dataset_name)
            return {}
        warn_of_registered_images(self._dataset_name, "image_id", images, EFFECT_ON_MEANS)
        wrong = [image for image, (*_, confidence) in zip(images, rows, strict=True) if not math.isfinite(confidence)]
        if wrong:
            raise DataError(
                f"{self._dataset_name}: expected finite probabilities from the model, found NaN or infinite "
                f"probabilities in the images {first_few(wrong)}. Check MODEL.WEIGHTS, because the training may have "
                "diverged"
            )
        names = MetadataCatalog.get(self._dataset_name).thing_classes
        if (largest := max(predicted for _, predicted, _ in rows)) >= len(names):
            raise ConfigError(
                f"MODEL.CLASSIFIER.NUM_CLASSES: expected predicted class indices below {len(names)}, found class index "
                f"{largest}. Dataset {self._dataset_name!r} has {len(names)} classes. Set NUM_CLASSES to {len(names)}"
            )
        counts = self._train_count()
        groups = None if counts is None else frequency_groups(counts, self._thresholds)
        results = ClassificationResults(*map(np.array, zip(*rows, strict=True)), len(names), groups)
        metrics = compute_metrics("classification", results)
        logger.info("Evaluation of %s:\n%s", self._dataset_name, create_small_table(metrics))
        if self._output_dir:
            self._write(names, counts, results)
            self._write_predictions(names, images, results)
        return {"classification": metrics}

    def _write(self, names: list[str], counts: np.ndarray | None, results: ClassificationResults) -> None:
        """Write the files per_class.csv, confusion.csv and calibration.csv to the output folder.

        Args:
            names: class names.
            counts: number of training images of each class, or None if unknown.
            results: true and predicted classes of all images.
        """
        groups, confusion, bins = results.groups, results.confusion, results.bins
        tested, called, right = confusion.sum(axis=1), confusion.sum(axis=0), confusion.diagonal()
        rows = [
            {
                "class": name,
                "train_images": "" if counts is None else counts[i],
                "shots": "" if groups is None else SHOT_NAMES[groups[i]],
                "test_images": tested[i],
                "correct": right[i],
                "accuracy": 100 * right[i] / tested[i] if tested[i] else "",
                "predicted": called[i],
                "precision": 100 * right[i] / called[i] if called[i] else "",
            }
            for i, name in enumerate(names)
        ]
        write_csv(os.path.join(self._output_dir, PER_CLASS_FILE), rows)
        off_diagonal = confusion - np.diag(right)
        rows = [
            {"class": names[i], "called": names[j], "images": confusion[i, j]}
            for i, j in np.argwhere(off_diagonal).tolist()
        ]
        write_csv(os.path.join(self._output_dir, CONFUSION_FILE), rows, header=("class", "called", "images"))
        rows = [
            {"from": i / len(bins), "to": (i + 1) / len(bins), "images": int(n), "confidence": c, "accuracy": a}
            for i, (n, c, a) in enumerate(bins.tolist())
        ]
        write_csv(os.path.join(self._output_dir, CALIBRATION_FILE), rows)

    def _write_predictions(self, names: list[str], images: list[Any], results: ClassificationResults) -> None:
        columns = (images, results.labels.tolist(), results.predicted.tolist(), results.confidence.tolist())
        rows = [
            {"image": image, "class": names[label], "called": names[predicted], "confidence": round(confidence, 4)}
            for image, label, predicted, confidence in zip(*columns, strict=True)
        ]
        write_csv(os.path.join(self._output_dir, PREDICTIONS_FILE), rows)
