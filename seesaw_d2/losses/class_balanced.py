"""Define the class-balanced focal loss, which weights rare categories more than frequent categories.

Source: Class-Balanced Loss Based on Effective Number of Samples (Cui et al., CVPR 2019, arXiv 1901.05555).

Shapes: N proposals, C foreground categories, L = C logits. Label C is background.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.focal import FocalLoss


@LOSS_REGISTRY.register()
class ClassBalancedFocalLoss(FocalLoss):
    """Focal loss weighted by the inverse effective number of training instances of the label (equations 8 and 12).

    The effective number (1 - β^{n_i}) / (1 - β) grows more slowly than the number n_i of training instances of category
    i. The weight of label i is v_i = s (1 - β) / (1 - β^{n_i}), where n_i is at least 1 and s is a scale. The weights v
    replace the weight α of the focal loss.

    Reference: github richardaecn/class-balanced-loss (image classification). As in the reference, the sum of the losses
    is divided by the number of foreground samples. With background "none", s is such that Σ_i v_i = C, as in the
    reference.

    Unlike the reference, this loss also supports background proposals, which have weight 1. In this case, s is such
    that the mean of v over the training instances is 1, Σ_i n_i v_i = Σ_i n_i. With the reference's scale, frequent
    categories would have much lower weights than background, and a detector would miss most objects.

    Args:
        num_classes: number of categories C, >= 1.
        instance_counts: (C,) n >= 0, number of training instances of each category, or None for inference only.
        beta: β in [0, 1). With 0, all weights are 1. With values near 1, the weights are almost proportional to 1 / n.
            The paper uses 0.999 for iNaturalist and ImageNet.
        gamma: γ >= 0. The paper uses 0.5 for iNaturalist and ImageNet.
        background: "implicit" (default) or "none".
        prior: π, initial value of each σ(z_j), as in ``SigmoidLoss``.

    Buffers:
        class_weights: float64 (C,), v. Checkpoints do not contain this buffer, because the training data determines v.
    """

    config_keys: ClassVar[dict[str, str]] = {
        "beta": "CLASS_BALANCED_FOCAL.BETA",
        "gamma": "CLASS_BALANCED_FOCAL.GAMMA",
        "prior": "CLASS_BALANCED_FOCAL.PRIOR",
    }
    statistics_keys: ClassVar[dict[str, str]] = {"instance_counts": "instance_count"}
    class_weights: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        instance_counts: Sequence[int] | Tensor | None,
        beta: float = 0.999,
        gamma: float = 0.5,
        background: str = "implicit",
        prior: float = 0.01,
    ):
        super().__init__(num_classes, gamma=gamma, alpha=None, background=background, prior=prior)
        self.beta = check_number("beta", beta, "a number in [0, 1)", lambda value: 0 <= value < 1)
        counts = category_values("instance_counts", instance_counts, num_classes)
        by_class = self.background == "none"
        weights = (
            None if counts is None else effective_number_weights(counts.clamp(min=1), self.beta, by_class=by_class)
        )
        self.register_buffer("class_weights", weights, persistent=False)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"beta": (0.9, 0.99, 0.999)}

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the factors v_i (1 - p_j)^γ of the binary losses, (N, C), for N proposals and C categories j.

        v_i is the class weight of the label i. p_j is the predicted probability of the target: σ(z_j) for target 1, and
        1 - σ(z_j) for target 0.
        """
        if self.class_weights is None:
            raise not_given("instance_counts")
        weights = torch.cat([self.class_weights, self.class_weights.new_ones(1)]).to(logits.dtype)
        return super().factors(logits, labels, targets) * weights[labels].unsqueeze(1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, beta={self.beta}"


def effective_number_weights(counts: Tensor, beta: float, *, by_class: bool) -> Tensor:
    """Return the class weights v_i = (1 - β) / (1 - β^{n_i}) of C classes i, (C,), scaled to a mean of 1.

    Args:
        counts: float64 (C,), numbers of training instances n_i >= 1.
        beta: β in [0, 1).
        by_class: which mean of the weights is 1. If True, the mean over the classes, Σ_i v_i = C. If False, the mean
            over the instances, Σ_i n_i v_i = Σ_i n_i.
    """
    if beta == 0:
        return torch.ones_like(counts)
    weights = (1 - beta) / -torch.expm1(counts * math.log(beta))
    if by_class:
        return weights * (len(counts) / weights.sum())
    return weights * (counts.sum() / (counts * weights).sum())
