"""NorCal (Pan et al., On Model Calibration for Long-Tailed Object Detection, NeurIPS 2021)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.modeling.calibration.base import Calibration


def norcal(image_counts: Tensor, gamma: float) -> Tensor:
    """Return log(n_c^-γ), (C,), for image counts n (C,) and γ >= 0.

    Deviation: n is clamped from below to 1. In the reference a category without images gets an infinite score.
    """
    return -gamma * image_counts.double().clamp(min=1).log()


def effective_numbers(image_counts: Tensor, beta: float) -> Tensor:
    """Return log((1 - β) / (1 - β^n_c)), (C,), from effective numbers of samples, for β in (0, 1). n is at least 1."""
    return ((1 - beta) / (1 - beta ** image_counts.double().clamp(min=1))).log()


class NorCal(Calibration):
    """Divide each category's probability by n_c^γ, background by 1, and normalize (equations 3 and 4).

    Args:
        image_count: (C,) training images with the category.
        gamma: γ >= 0; 0 changes nothing.
    """

    config_keys: ClassVar[dict[str, str]] = {"gamma": "GAMMA"}
    grid: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

    def __init__(self, image_count: Tensor | Sequence[int], gamma: float):
        gamma = check_number("gamma", gamma, "a number >= 0", lambda value: value >= 0)
        super().__init__(norcal(torch.as_tensor(image_count), gamma))

    @classmethod
    def from_statistics(cls, statistics: Any, **arguments: float) -> "NorCal":
        return cls(statistics.image_count, **arguments)
