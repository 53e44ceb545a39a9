"""Evaluate semantic segmentation: mIoU, mean class accuracy and pixel accuracy.

Shapes: C is the number of classes.
"""

import itertools
import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table

from seesaw_d2.data.records.semantic import read_label_map, semantic_classes
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.results_files import write_csv
from seesaw_d2.evaluation.tested_images import EFFECT_ON_MEANS, warn_of_registered_images
from seesaw_d2.frequency_groups import GROUP_NAMES, frequency_groups
from seesaw_d2.utils.declared_keys import added_value

logger = logging.getLogger(__name__)

PER_CLASS_FILE = "semantic_per_class.csv"


def class_groups(cfg: CfgNode) -> np.ndarray | None:
    """Return the frequency group of each class (0: rare, 1: common, 2: frequent), as an array with one value per class.

    The group of a class depends on the number of images in DATASETS.TRAIN that contain the class. If these numbers are
    unknown, the result is None.
    """
    thresholds = tuple(added_value(cfg, "DATASETS.FREQUENCY_THRESHOLDS"))
    found = [semantic_classes(name) for name in cfg.DATASETS.TRAIN]
    counts = [each.image_count for each in found if each is not None and each.image_count is not None]
    if not counts or len(counts) < len(found):
        return None
    return frequency_groups(np.sum(counts, axis=0), thresholds)


def segmentation_metrics(confusion: np.ndarray, groups: np.ndarray | None) -> dict[str, float]:
    """Compute mIoU (overall and by frequency group), mean class accuracy and pixel accuracy, in percent.

    Classes without a pixel in the ground truth are omitted from all means. A mean over zero classes is NaN. If the
    ground truth has no pixel, pixel accuracy is also NaN.

    Args:
        confusion: number of pixels by true class (row) and predicted class (column), (C, C) for C classes.
        groups: (C,) frequency group of each class (0: rare, 1: common, 2: frequent). If None, mIoU by group is not
            computed.

    Returns:
        a dict with the keys "mIoU", "mACC" (mean class accuracy) and "pACC" (pixel accuracy). If ``groups`` is not
        None, the dict also has the keys "mIoU_rare", "mIoU_common" and "mIoU_frequent".
    """
    right, true = confusion.diagonal(), confusion.sum(axis=1)
    present = true > 0
    union = true + confusion.sum(axis=0) - right
    iou = np.where(present, 100 * right / np.maximum(union, 1), np.nan)
    metrics = {"mIoU": _mean(iou)}
    if groups is not None:
        metrics |= {f"mIoU_{name}": _mean(iou[groups == index]) for index, name in enumerate(GROUP_NAMES)}
    accuracy = np.where(present, 100 * right / np.maximum(true, 1), np.nan)
    pixel_accuracy = 100 * float(right.sum()) / int(true.sum()) if present.any() else math.nan
    return {**metrics, "mACC": _mean(accuracy), "pACC": pixel_accuracy}


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


class SemanticEvaluator(DatasetEvaluator):
    """Compute mIoU, mean class accuracy and pixel accuracy over all labelled pixels of a dataset.

    ``evaluate()`` returns {"sem_seg": metrics} in the main process, and None in the other processes. ``metrics`` maps
    "mIoU", "mACC" (mean class accuracy) and "pACC" (pixel accuracy) to percent. If ``groups`` is not None, ``metrics``
    also contains "mIoU_rare", "mIoU_common" and "mIoU_frequent". ``evaluate()`` also writes the IoU of each class to
    ``semantic_per_class.csv`` in ``output_dir``.

    Args:
        dataset_name: name of a registered dataset with label maps.
        num_classes: number of classes.
        ignored: value of pixels without a label. Evaluation ignores these pixels.
        groups: frequency group of each class (0: rare, 1: common, 2: frequent), or None if unknown.
        output_dir: folder of the file. If None, the evaluator writes no file.
    """

    @configurable
    def __init__(
        self,
        dataset_name: str,
        *,
        num_classes: int,
        ignored: int = 255,
        groups: np.ndarray | None = None,
        output_dir: str | None = None,
    ):
        self._dataset_name, self._num_classes, self._ignored = dataset_name, num_classes, ignored
        self._groups, self._output_dir = groups, output_dir
        self.reset()

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None) -> dict[str, Any]:
        return {
            "dataset_name": dataset_name,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "ignored": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "groups": class_groups(cfg),
            "output_dir": output_dir,
        }

    def reset(self) -> None:
        self._confusion = np.zeros((self._num_classes, self._num_classes), np.int64)
        self._label_maps: list[str] = []

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """Add the pixels of a batch to the confusion matrix.

        Args:
            inputs: dicts with "sem_seg_file_name", the path of a label map of H x W pixels.
            outputs: dicts with "sem_seg", a tensor of scores (number of classes, H, W).

        Raises:
            ConfigError: the model has more classes than ``num_classes``.
            DataError: a label map and the scores of its image have different sizes, or a score is not finite.
        """
        for item, output in zip(inputs, outputs, strict=True):
            path = item["sem_seg_file_name"]
            labels = torch.from_numpy(read_label_map(path, self._num_classes, self._ignored).astype(np.int64))
            scores, predicted = (each.cpu() for each in output["sem_seg"].max(dim=0))
            if not scores.isfinite().all():
                raise DataError(
                    f"{path}: expected finite scores from the model, found NaN or infinite scores. Check "
                    "MODEL.WEIGHTS, because the training may have diverged"
                )
            if len(output["sem_seg"]) > self._num_classes:
                raise ConfigError(
                    f"MODEL.SEM_SEG_HEAD.NUM_CLASSES: expected scores of at most {self._num_classes} classes, found "
                    f"{len(output['sem_seg'])} classes for {path}. The dataset has only {self._num_classes} classes"
                )
            if predicted.shape != labels.shape:
                raise DataError(
                    f"{path}: expected a label map with (height, width) {tuple(predicted.shape)}, found "
                    f"{tuple(labels.shape)}. A label map must be as large as its image"
                )
            kept = labels != self._ignored
            codes = labels[kept] * self._num_classes + predicted[kept]
            self._label_maps.append(path)
            self._confusion += torch.bincount(codes, minlength=self._confusion.size).view(self._confusion.shape).numpy()

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        comm.synchronize()
        parts = comm.gather((self._confusion, self._label_maps), dst=0)
        if not comm.is_main_process():
            return None
        confusion = np.sum([counts for counts, _ in parts], axis=0)
        label_maps = list(itertools.chain.from_iterable(paths for _, paths in parts))
        warn_of_registered_images(self._dataset_name, "sem_seg_file_name", label_maps, EFFECT_ON_MEANS)
        metrics = segmentation_metrics(confusion, self._groups)
        logger.info("Evaluation of %s:\n%s", self._dataset_name, create_small_table(metrics))
        if self._groups is None:
            logger.info(
                "%s: mIoU by frequency group is not computed, because the numbers of training images of the classes "
                'are unknown. Add "image_count" to the classes in SEM_SEG_CLASSES of DATASETS.TRAIN',
                self._dataset_name,
            )
        if self._output_dir:
            self._write(confusion)
        return {"sem_seg": metrics}

    def _write(self, confusion: np.ndarray) -> None:
        """Write ``semantic_per_class.csv``: group, true pixels, predicted pixels and IoU of each class.

        ``confusion`` is the number of pixels by true class (row) and predicted class (column).
        """
        classes = semantic_classes(self._dataset_name)
        names = classes.names if classes else range(len(confusion))
        right, true, called = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        rows = [
            {
                "class": name,
                "group": "" if self._groups is None else GROUP_NAMES[self._groups[i]],
                "pixels": true[i],
                "predicted": called[i],
                "IoU": 100 * right[i] / (true[i] + called[i] - right[i]) if true[i] else "",
            }
            for i, name in enumerate(names)
        ]
        write_csv(os.path.join(self._output_dir, PER_CLASS_FILE), rows)
