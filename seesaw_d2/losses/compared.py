"""Describe the training data to ``compared_values`` of a loss, whose values ``tools/choose_loss.py`` compares."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingData:
    """Properties of the training data and schedule.

    Attributes:
        num_classes: C >= 1.
        num_images: number of annotated images, >= 1.
        thresholds: DATASETS.FREQUENCY_THRESHOLDS, (a, b). Categories in at most a images are rare, categories in more
            than b images are frequent, and the others are common.
        iterations: SOLVER.MAX_ITER.
    """

    num_classes: int
    num_images: int
    thresholds: tuple[int, int]
    iterations: int

    @property
    def rare_share(self) -> float:
        """Return (a + 0.5) / num_images, the image frequency below which a category is rare, rounded to 4 digits."""
        return float(f"{(self.thresholds[0] + 0.5) / self.num_images:.4g}")

    @property
    def prior(self) -> float:
        """Return min(0.5, 1 / C), the initial probability of each of C sigmoids, so that their sum is 1 for C > 1."""
        return float(f"{min(0.5, 1 / self.num_classes):.4g}")
