"""Define NorCal, which divides the probability of each category by a power of its number of training images.

Source: On Model Calibration for Long-Tailed Object Detection (Pan et al., NeurIPS 2021). The reference implementation
is github tydpan/NorCal.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seesaw_d2.losses.base import InvalidArgument, check_number
from seesaw_d2.losses.category_statistics import category_counts
from seesaw_d2.modeling.calibration.base import Calibration

_FACTORS, _SCALED = ("power", "effective_number"), ("probabilities", "logits")


def norcal(image_counts: Tensor, gamma: float) -> Tensor:
    """Return the log factor log(n_c^-γ) of each category c, where n_c is its number of images, and ``gamma`` is γ >= 0.

    This function clamps n_c to at least 1. In the reference, a category without images has an infinite score.
    """
    return -gamma * image_counts.double().clamp(min=1).log()


def effective_numbers(image_counts: Tensor, beta: float) -> Tensor:
    """Return the log factor log((1 - β) / (1 - β^n_c)) of each category c, where n_c is its number of images.

    This function clamps n_c to at least 1. ``beta`` is β in (0, 1).
    """
    return ((1 - beta) / (1 - beta ** image_counts.double().clamp(min=1))).log()


class NorCal(Calibration):
    """Divide the probability of each category c by n_c^γ and normalize (equations 3 and 4).

    n_c is the number of training images that contain category c. P(background) is not divided. The arguments
    ``factor``, ``scaled`` and ``normalize`` select variants that the paper compares.

    If ``normalize`` is False, this class multiplies probabilities by the factors. In this case, the reference
    multiplies exp(z) of the logits z. The products of the reference can exceed 1, and they change if a constant is
    added to all logits of a proposal.

    Args:
        image_count: number of training images that contain each category.
        gamma: γ >= 0. Only ``factor="power"`` uses this argument. 0 does not change the scores.
        factor: factor of category c.
            "power": n_c^-γ.
            "effective_number": (1 - β) / (1 - β^n_c), the class-balanced weight of Cui et al. (CVPR 2019).
        beta: β in (0, 1). Only ``factor="effective_number"`` uses this argument.
        scaled: values to multiply by the factors, the "probabilities" or the "logits" of the categories.
        normalize: whether to normalize the scaled probabilities of each proposal. With sigmoids, True multiplies the
            odds by the factors, and False multiplies the probabilities by the factors. Scaled logits are always
            normalized.
    """

    config_keys: ClassVar[dict[str, str]] = {
        "gamma": "GAMMA",
        "factor": "NORCAL.FACTOR",
        "beta": "NORCAL.BETA",
        "scaled": "NORCAL.SCALED",
        "normalize": "NORCAL.NORMALIZE",
    }
    grid: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

    def __init__(
        self,
        image_count: Tensor | Sequence[int],
        gamma: float = 0.6,
        *,
        factor: str = "power",
        beta: float = 0.999,
        scaled: str = "probabilities",
        normalize: bool = True,
    ):
        for name, value, choices in (("factor", factor, _FACTORS), ("scaled", scaled, _SCALED)):
            if value not in choices:
                raise InvalidArgument(name, " or ".join(f'"{each}"' for each in choices), value)
        gamma = check_number("gamma", gamma, "a number >= 0", lambda value: value >= 0)
        beta = check_number("beta", beta, "a number in (0, 1)", lambda value: 0 < value < 1)
        counts = category_counts("image_count", image_count)
        super().__init__(norcal(counts, gamma) if factor == "power" else effective_numbers(counts, beta))
        self.scaled, self.normalize = scaled, normalize

    @classmethod
    def from_statistics(cls, statistics: Any, **arguments: Any) -> "NorCal":
        return cls(statistics.image_count, **arguments)

    @classmethod
    def tried(cls, node: Any) -> tuple[str, tuple[float, ...]]:
        if node.NORCAL.FACTOR == "effective_number":
            return "beta", (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
        return "gamma", cls.grid

    def adjust_logits(self, logits: Tensor, classifier: nn.Linear) -> Tensor:
        if self.scaled == "probabilities":
            return logits
        num_classes = len(self.log_factors)
        categories = logits[:, :num_classes] * self.log_factors.exp().to(logits.dtype)
        return torch.cat([categories, logits[:, num_classes:]], dim=1)

    def forward(self, probs: Tensor, background: str) -> Tensor:
        """Return the calibrated class probabilities, in the shape of ``probs``.

        If ``scaled`` is "logits", return ``probs``, because ``adjust_logits`` has already scaled the logits.
        """
        if self.scaled == "logits":
            return probs
        if self.normalize:
            return super().forward(probs, background)
        categories = probs[:, :-1] * self.log_factors.exp().to(probs.dtype)
        rest = 1 - categories.amax(dim=1, keepdim=True) if background == "implicit" else probs[:, -1:]
        return torch.cat([categories, rest], dim=1)
