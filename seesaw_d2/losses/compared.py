"""Define the training data properties from which losses choose the values that ``tools/choose_loss.py`` compares."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingData:
    """Properties of the training data and of the schedule, the argument of ``ClassificationLoss.compared_values``.

    Attributes:
        num_classes: C >= 1.
        num_images: number of annotated images, >= 1.
        thresholds: DATASETS.FREQUENCY_THRESHOLDS, (a, b). Categories in at most a images are rare, categories in more
            than b images are frequent, and all other categories are common.
        iterations: SOLVER.MAX_ITER, the number of training iterations.
    """

    num_classes: int
    num_images: int
    thresholds: tuple[int, int]
    iterations: int

    @property
    def rare_share(self) -> float:
        """Return (a + 0.5) / num_images, rounded to 4 significant digits. Rare categories have a smaller frequency."""
        return float(f"{(self.thresholds[0] + 0.5) / self.num_images:.4g}")

    @property
    def prior(self) -> float:
        """Return min(0.5, 1 / C), rounded to 4 significant digits.

        This value is an initial probability for each of C sigmoids. For C > 1, the sum of these probabilities is 1.
        """
        return float(f"{min(0.5, 1 / self.num_classes):.4g}")
