"""Properties of the training data from which ``ClassificationLoss.compared_values`` chooses values to compare."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingData:
    """Properties of the training data and schedule.

    Attributes:
        num_classes: C >= 1.
        num_images: number of annotated images, >= 1.
        thresholds: DATASETS.FREQUENCY_THRESHOLDS, (a, b). A category with at most a images is rare, with at most b
            images common, otherwise frequent.
        iterations: SOLVER.MAX_ITER.
    """

    num_classes: int
    num_images: int
    thresholds: tuple[int, int]
    iterations: int

    @property
    def rare_share(self) -> float:
        """Return the image frequency below which a category is rare: (a + 0.5) / num_images, to 4 digits."""
        return float(f"{(self.thresholds[0] + 0.5) / self.num_images:.4g}")

    @property
    def prior(self) -> float:
        """Return min(0.5, 1 / C), the initial probability of each sigmoid with which the C sigmoids sum to 1."""
        return float(f"{min(0.5, 1 / self.num_classes):.4g}")
