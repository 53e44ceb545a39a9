"""Counts of the training data that the values of ``ClassificationLoss.compared_values`` depend on."""

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
        """Return a number between the shares of images of the most frequent rare and the rarest common category."""
        return float(f"{(self.thresholds[0] + 0.5) / self.num_images:.4g}")

    @property
    def prior(self) -> float:
        """Return 1 / C, at most 0.5: the initial probability of each sigmoid if they sum to 1."""
        return float(f"{min(0.5, 1 / self.num_classes):.4g}")
