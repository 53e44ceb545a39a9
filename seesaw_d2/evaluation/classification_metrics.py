"""Accuracy by shots and calibration, as pure functions.

N images, C classes, K bins.
"""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.frequency_groups import SHOT_NAMES


@dataclass(frozen=True, eq=False)
class Predictions:
    """The best class of each of N images."""

    labels: np.ndarray  # (N,) int64
    predicted: np.ndarray  # (N,) int64
    confidence: np.ndarray  # (N,) in [0, 1], probability of the predicted class

    @property
    def correct(self) -> np.ndarray:
        return self.labels == self.predicted

    def confusion(self, num_classes: int) -> np.ndarray:
        """(C, C) int64: images of class i (row) that are called j."""
        pairs = np.bincount(self.labels * num_classes + self.predicted, minlength=num_classes**2)
        return pairs.reshape(num_classes, num_classes)


def shot_accuracy(confusion: np.ndarray, groups: np.ndarray | None) -> dict[str, float]:
    """Top-1 accuracy in percent: "overall" over images, "many", "medium", "few" the mean over their classes.

    Source: Kang et al., ICLR 2020 (``shot_acc`` in classifier-balancing), whose thresholds are the groups'. Classes
    without test images are left out; nan where nothing is to be measured.

    Args:
        confusion: (C, C), rows are true classes.
        groups: (C,) 0 few, 1 medium, 2 many; None: not known.
    """
    tested = confusion.sum(axis=1)
    right = confusion.diagonal()
    result = {"overall": _percent(right.sum(), tested.sum())}
    for group, name in reversed(list(enumerate(SHOT_NAMES))):
        chosen = (tested > 0) & (groups == group) if groups is not None else np.zeros(len(tested), bool)
        result[name] = 100 * float(np.mean(right[chosen] / tested[chosen])) if chosen.any() else float("nan")
    return result


def calibration_bins(predictions: Predictions, num_bins: int = 15) -> np.ndarray:
    """(K, 3): images, mean confidence and accuracy in each of K equal intervals (low, high] of confidence.

    Mean and accuracy are 0 where there is no image. Source: Guo et al., ICML 2017, equations 2 and 3.
    """
    index = np.clip(np.ceil(predictions.confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(index, minlength=num_bins)
    divisor = np.maximum(count, 1)
    confidence = np.bincount(index, weights=predictions.confidence, minlength=num_bins) / divisor
    accuracy = np.bincount(index, weights=predictions.correct, minlength=num_bins) / divisor
    return np.stack([count, confidence, accuracy], axis=1)


def expected_calibration_error(bins: np.ndarray) -> float:
    """Σ n_b / N |accuracy_b - confidence_b| in percent (Guo et al., equation 5), for ``calibration_bins``."""
    count, confidence, accuracy = bins.T
    return 100 * float((count * np.abs(accuracy - confidence)).sum() / max(count.sum(), 1))


def _percent(part, whole) -> float:
    return 100 * float(part) / float(whole) if whole else float("nan")
