"""Define the base class of losses that sum the binary losses of an independent sigmoid classifier for each category.

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
    """Base class of losses that are a weighted sum of binary cross-entropies over the logits z_j of a proposal.

    The loss is Σ_j f_j BCE(σ(z_j), y_j), where BCE is the binary cross-entropy and f_j >= 0 is a weight. The target y_j
    is 1 if j is the label, otherwise 0. For a background proposal, all targets are 0 with background "implicit", and
    only the last target is 1 with background "class".

    This class handles background, weights, averages and scores. Subclasses implement ``factors``, which returns the
    factors f_j. Subclasses can also replace the sigmoid by another activation.

    Args:
        num_classes: number of categories C, >= 1.
        background: a value in the class attribute ``backgrounds``. See ``ClassificationLoss``.
        prior: π in (0, 1), initial value of each σ(z_j) (Lin et al., ICCV 2017, section 4.1). The initial bias is
            -log((1 - π) / π). π = 0.5 gives the bias 0 and a large initial loss of log 2 for each logit (with f_j = 1).
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("implicit", "none")
    scores: ClassVar[str] = "sigmoids"

    def __init__(self, num_classes: int, *, background: str, prior: float):
        super().__init__(num_classes, background=background)
        self.prior = check_number("prior", prior, "a number in (0, 1)", lambda value: 0 < value < 1)

    def initial_bias(self) -> Tensor:
        return torch.full((self.num_logits,), -math.log((1 - self.prior) / self.prior))

    def targets(self, logits: Tensor, labels: Tensor, soft: Tensor | None = None) -> Tensor:
        """Return the targets of the binary losses, in the shape of the logits: 1 for the label, otherwise 0.

        If the soft labels ``soft`` (N, C) of N proposals are given, they replace the targets of the C categories.
        """
        columns = torch.arange(logits.shape[1], device=labels.device)
        hard = (labels.unsqueeze(1) == columns).to(logits.dtype)
        return hard if soft is None else torch.cat([soft, hard[:, self.num_classes :]], dim=1)

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return factors >= 0 by which the binary losses are multiplied, in a shape that broadcasts to (N, L).

        Args:
            logits: (N, L) for N proposals and L logits.
            labels: (N,) int64 in [0, num_classes], where num_classes is background.
            targets: (N, L), targets of the binary losses: 1 for the label, otherwise 0, or soft labels.
        """
        raise NotImplementedError

    def activation(self, logits: Tensor) -> Tensor:
        """Return the probability σ(z_j) of each logit z_j, in the shape of the logits.

        A subclass with another activation overrides this method and ``binary_losses``.
        """
        return logits.sigmoid()

    def binary_losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the binary cross-entropy BCE(σ(z_j), y_j) of each logit z_j with target y_j, in the same shape."""
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")

    def compute(self, logits, labels, weights, avg_factor, targets=None):
        targets = self.targets(logits, labels, targets)
        losses = self.binary_losses(logits, targets)
        losses = losses * self.factors(logits, labels, targets)
        return {"loss_cls": weighted_sum(losses.sum(dim=1), weights) / avg_factor}

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores of N proposals for C categories and background last, (N, C + 1).

        - background "none": σ(z_j), with the shape (N, C).
        - background "class": σ(z_j) (1 - σ(z_background)). The score of background is σ(z_background).
        - background "implicit": σ(z_j). The score of background is 1 - max_j σ(z_j), so background has the highest
          score if all σ(z_j) are below 1/2. The product Π_j (1 - σ(z_j)), which is the probability that no category
          is present, would be near 0 with a thousand categories.
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
