"""Describe the training data. From this description, losses select hyperparameters that ``choose_loss.py`` compares."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingData:
    """Properties of the training data and of the schedule.

    ``ClassificationLoss.compared_values`` selects hyperparameter values from these properties.

    Attributes:
        num_classes: number of categories C, >= 1.
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
        """Return the image frequency that separates rare from common categories, (A + 0.5) / num_images.

        A is the largest number of images of a rare category. The result is rounded to 4 significant digits.
        """
        return float(f"{(self.thresholds[0] + 0.5) / self.num_images:.4g}")

    @property
    def prior(self) -> float:
        """Return the initial probability min(0.5, 1 / C) of each of C sigmoids, rounded to 4 significant digits.

        For C > 1, the initial probabilities of the C categories sum to 1.
        """
        return float(f"{min(0.5, 1 / self.num_classes):.4g}")
