"""What the losses of independent binary classifiers have in common.

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from seesaw_d2.losses.base import ClassificationLoss, check_number, weighted_sum, widen


class SigmoidLoss(ClassificationLoss):
    """Binary cross-entropy of L independent classifiers: L = Σ_j f_j BCE(σ(z_j), y_j), summed over the classifiers.

    This is the base of such losses: they override ``factors``, the f_j, and inherit the treatment of background,
    weights, averages and scores. y_j is 1 for the label's category; a background proposal has none ("implicit"),
    or the last classifier ("class").

    Args:
        num_classes: C >= 1.
        background: "implicit", "class" or "none", as the subclass supports; see ``ClassificationLoss``.
        prior: π in (0, 1), the probability that every classifier starts from (Lin et al., ICCV 2017, section
            4.1): ``initial_bias`` is -log((1 - π) / π). With 0.5 it is 0, and the first batch's loss is L log 2,
            nearly all of it from negatives.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("implicit", "none")

    def __init__(self, num_classes: int, *, background: str, prior: float):
        super().__init__(num_classes, background=background)
        self.prior = check_number("prior", prior, "a number in (0, 1)", lambda value: 0 < value < 1)

    def initial_bias(self) -> Tensor:
        return torch.full((self.num_logits,), -math.log((1 - self.prior) / self.prior))

    def targets(self, logits: Tensor, labels: Tensor, soft: Tensor | None = None) -> Tensor:
        """y_j: (N, L), 1 in the label's column; background's row is 0 where it has none. Soft labels (N, C), where
        given, take the categories' place, not background's."""
        columns = torch.arange(logits.shape[1], device=labels.device)
        hard = (labels.unsqueeze(1) == columns).to(logits.dtype)
        return hard if soft is None else torch.cat([soft, hard[:, self.num_classes :]], dim=1)

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """f_j >= 0, of a shape that broadcasts to (N, L). A gradient flows through them if they have one."""
        raise NotImplementedError

    def compute(self, logits, labels, weights, avg_factor, targets=None):
        targets = self.targets(logits, labels, targets)
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        losses = losses * self.factors(logits, labels, targets)
        return {"loss_cls": weighted_sum(losses.sum(dim=1), weights) / avg_factor}

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, C + 1) σ(z_j), and in background's column, which inference drops, 1 - max_j σ(z_j).

        So background wins where no category has more than 1/2. Their product, Π_j (1 - σ(z_j)), would be its
        probability if the classifiers were independent, but with a thousand of them it says next to nothing.
        """
        self.check_width(logits)
        probs = widen(logits).sigmoid()
        if self.background != "implicit":
            return probs
        return torch.cat([probs, 1 - probs.amax(dim=1, keepdim=True)], dim=1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, prior={self.prior}"
