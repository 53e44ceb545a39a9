"""Compute metrics of image classifiers: accuracy by number of training images ("shots"), and calibration error.

Shapes: N is the number of images, and C is the number of classes.
"""

import functools
from dataclasses import dataclass

import numpy as np

from seesaw_d2.evaluation.metric_registry import register_metric
from seesaw_d2.frequency_groups import SHOT_NAMES


@dataclass(frozen=True, eq=False)
class ClassificationResults:
    """True and predicted classes of N images. The classification metrics take this object as their only argument.

    Attributes:
        labels, predicted: (N,) int64, true class and predicted class of each image.
        confidence: (N,) probability of the predicted class, in [0, 1].
        num_classes: number of classes.
        groups: group of each class by its number of training images (0: few, 1: medium, 2: many), one value per class.
            None if the groups are unknown.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    num_classes: int
    groups: np.ndarray | None = None

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """Return the confusion matrix, int64 (C, C) for C classes.

        The value at [i, j] is the number of images of class i that are predicted as class j.
        """
        size = self.num_classes
        return np.bincount(self.labels * size + self.predicted, minlength=size**2).reshape(size, size)

    @functools.cached_property
    def bins(self) -> np.ndarray:
        """Return the number of images, mean confidence and accuracy in each bin of confidence, (number of bins, 3)."""
        return calibration_bins(self.confidence, self.labels == self.predicted)


@register_metric("shots", "classification")
def accuracy_by_shots(results: ClassificationResults) -> dict[str, float]:
    """Return top-1 accuracy in percent, "overall" and for classes with "many", "medium" and "few" training images."""
    return shot_accuracy(results.confusion, results.groups)


@register_metric("calibration", "classification")
def calibration_error(results: ClassificationResults) -> dict[str, float]:
    """Return the metric "ECE", the expected calibration error in percent."""
    return {"ECE": expected_calibration_error(results.bins)}


def shot_accuracy(confusion: np.ndarray, groups: np.ndarray | None) -> dict[str, float]:
    """Compute top-1 accuracy in percent, overall and by shots, the number of training images of a class.

    "overall" is the accuracy over all images. "many", "medium" and "few" are the mean accuracies of the classes in
    these groups. Classes without test images are omitted. Source: Kang et al., ICLR 2020 (``shot_acc`` in
    classifier-balancing).

    Args:
        confusion: number of images by true class (row) and predicted class (column), (C, C) for C classes.
        groups: (C,) group of each class by number of training images (0: few, 1: medium, 2: many). None if the groups
            are unknown.

    Returns:
        a dict from "overall", "many", "medium" and "few" to the accuracy in percent. The accuracy of a group is NaN if
        the group has no test images, or if ``groups`` is None.
    """
    tested = confusion.sum(axis=1)
    right = confusion.diagonal()
    result = {"overall": _percent(right.sum(), tested.sum())}
    for group, name in reversed(list(enumerate(SHOT_NAMES))):
        chosen = (tested > 0) & (groups == group) if groups is not None else np.zeros(len(tested), bool)
        result[name] = 100 * float(np.mean(right[chosen] / tested[chosen])) if chosen.any() else float("nan")
    return result


def calibration_bins(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> np.ndarray:
    """Compute mean confidence and accuracy in bins of confidence. Source: Guo et al., ICML 2017, equations 2 and 3.

    The bins are intervals of equal width in [0, 1]. A confidence on the border of two bins belongs to the lower bin.

    Args:
        confidence: probability of the predicted class of each of N images, (N,).
        correct: (N,) bool, True for each correct prediction.
        num_bins: number of bins.

    Returns:
        an array (num_bins, 3) with the number of images, the mean confidence and the accuracy (both in [0, 1]) of each
        bin. For a bin without images, all three values are 0.
    """
    index = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(index, minlength=num_bins)
    divisor = np.maximum(count, 1)
    means = [np.bincount(index, weights=values, minlength=num_bins) / divisor for values in (confidence, correct)]
    return np.stack([count, *means], axis=1)


def expected_calibration_error(bins: np.ndarray) -> float:
    """Compute the expected calibration error in percent: 100 · Σ_b n_b / N · |accuracy_b - confidence_b|.

    The sum is over the bins b of confidence, n_b is the number of images in bin b, and N is the number of all images.
    Source: Guo et al., ICML 2017, equation 5.

    Args:
        bins: (number of bins, 3), number of images, mean confidence and accuracy of each bin.
    """
    count, confidence, accuracy = bins.T
    return 100 * float((count * np.abs(accuracy - confidence)).sum() / max(count.sum(), 1))


def _percent(part, whole) -> float:
    return 100 * float(part) / float(whole) if whole else float("nan")
