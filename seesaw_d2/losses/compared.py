"""Counts of the training data, from which ``ClassificationLoss.compared_values`` chooses values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingData:
    """Counts of the training data.

    Attributes:
        num_classes: C >= 1.
        num_images: number of annotated images, >= 1.
        thresholds: (a, b), DATASETS.FREQUENCY_THRESHOLDS: a category with at most a images is rare, with at most b
            common.
        iterations: SOLVER.MAX_ITER.
    """

    num_classes: int
    num_images: int
    thresholds: tuple[int, int]
    iterations: int

    @property
    def rare_share(self) -> float:
        """Return the share of training images below which a category is rare."""
        return float(f"{(self.thresholds[0] + 0.5) / self.num_images:.4g}")

    @property
    def prior(self) -> float:
        """Return 1 / C, at most 0.5: the initial probability of each sigmoid if they sum to 1."""
        return float(f"{min(0.5, 1 / self.num_classes):.4g}")
