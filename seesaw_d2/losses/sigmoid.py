"""Base class of losses with independent binary classifiers.

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seesaw_d2.losses.base import ClassificationLoss, check_number, weighted_sum
from seesaw_d2.losses.precision import widen


class SigmoidLoss(ClassificationLoss):
    """Binary cross-entropy of L independent classifiers, L = Σ_j f_j BCE(σ(z_j), y_j), summed over the classifiers.

    Subclasses override ``factors``, which returns f_j, and may replace the sigmoid by another activation. This class
    handles background, weights, averages and scores. y_j is 1 for the category of the label and 0 for all others. With
    background "implicit" a background proposal has y_j = 0 for all classifiers. With "class" it has y_j = 1 for the
    last classifier.

    Args:
        num_classes: C >= 1.
        background: "implicit", "class" or "none", as the subclass supports; see ``ClassificationLoss``.
        prior: π in (0, 1), initial probability of every classifier (Lin et al., ICCV 2017, section 4.1). The initial
            bias is -log((1 - π) / π). 0.5 gives the bias 0, with which the first loss is as large as L log 2.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("implicit", "none")
    scores: ClassVar[str] = "sigmoids"

    def __init__(self, num_classes: int, *, background: str, prior: float):
        super().__init__(num_classes, background=background)
        self.prior = check_number("prior", prior, "a number in (0, 1)", lambda value: 0 < value < 1)

    def initial_bias(self) -> Tensor:
        return torch.full((self.num_logits,), -math.log((1 - self.prior) / self.prior))

    def targets(self, logits: Tensor, labels: Tensor, soft: Tensor | None = None) -> Tensor:
        """Return the targets y_j, (N, L).

        Soft labels ``soft``, (N, C), replace the one-hot labels of the categories. The column of background remains.
        """
        columns = torch.arange(logits.shape[1], device=labels.device)
        hard = (labels.unsqueeze(1) == columns).to(logits.dtype)
        return hard if soft is None else torch.cat([soft, hard[:, self.num_classes :]], dim=1)

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the factors f_j >= 0 of the binary losses, in a shape that broadcasts to (N, L)."""
        raise NotImplementedError

    def activation(self, logits: Tensor) -> Tensor:
        """Return the probabilities σ(z_j), (N, L).

        A loss with another activation overrides this method and ``binary_losses``.
        """
        return logits.sigmoid()

    def binary_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the binary cross-entropy BCE(σ(z_j), y_j) of each classifier, (N, L)."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    def compute(self, logits, labels, weights, avg_factor, targets=None):
        targets = self.targets(logits, labels, targets)
        losses = self.binary_losses(logits, targets)
        losses = losses * self.factors(logits, labels, targets)
        return {"loss_cls": weighted_sum(losses.sum(dim=1), weights) / avg_factor}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores, (N, C + 1) with background last, or (N, C) with background "none".

        - background "none": σ(z_j).
        - background "class": σ(z_j) (1 - σ(z_background)), background has σ(z_background).
        - background "implicit": σ(z_j), background has 1 - max_j σ(z_j), the highest score if no category has more than
          1/2. The product Π_j (1 - σ(z_j)) would be near 0 with a thousand categories.
        """
        self.check_width(logits)
        probs = self.activation(widen(logits))
        if self.background == "none":
            return probs
        if self.background == "class":
            classes, background = probs.split([self.num_classes, 1], dim=1)
            return torch.cat([classes * (1 - background), background], dim=1)
        return torch.cat([probs, 1 - probs.amax(dim=1, keepdim=True)], dim=1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, prior={self.prior}"
