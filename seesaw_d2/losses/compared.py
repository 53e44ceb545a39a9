"""Input of ``ClassificationLoss.compared_values``, which returns the values that ``tools/choose_loss.py`` compares."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingData:
    """Properties of the training data and schedule.

    Attributes:
        num_classes: C >= 1.
        num_images: number of annotated images, >= 1.
        thresholds: DATASETS.FREQUENCY_THRESHOLDS, (a, b). Categories with at most a images are rare, with a + 1 to b
            images common, and with more than b images frequent.
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
        """Return an initial probability for C sigmoids, min(0.5, 1 / C), so that the sum of the sigmoids is 1."""
        return float(f"{min(0.5, 1 / self.num_classes):.4g}")
