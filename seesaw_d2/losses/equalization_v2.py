"""Define Equalization Loss v2 (EQL v2), which balances the positive and negative gradients of each category.

Source: Tan et al., CVPR 2021, arXiv 2012.08548.

Shapes: N proposals, C foreground categories, L classifier logits. Label C is background.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.sigmoid import SigmoidLoss
from seesaw_d2.utils.distributed import all_reduce_sum

# A category that has had no gradient yet gets this gradient ratio. The ratio is so large that the positive and the
# negative samples of the category have the weight 1.
_BALANCED = 100.0


@LOSS_REGISTRY.register()
class EqualizationLossV2(SigmoidLoss):
    """Sigmoid cross-entropy that weights each category by the gradients of previous steps (equations 3 to 6).

    The loss is L = -Σ_j w_j log(p_j). For a positive sample of category j, p_j = σ(z_j) and w_j = 1 + α (1 - f(g_j)).
    For a negative sample, p_j = 1 - σ(z_j) and w_j = f(g_j). The gradient ratio g_j and the function f are

    g_j = Σ gradients of positive samples / Σ gradients of negative samples of category j,
    f(x) = 1 / (1 + e^{-γ (x - μ)}).

    The sums in g_j contain the gradients w_j (1 - p_j) of all previous training steps. With background "class", the
    last logit predicts background, like the objectness branch of the paper, and its loss has weight 1. In this case,
    the scores are σ(z_j) (1 - σ(z_background)).

    Reference: github tztztztztz/eqlv2, mmdet/models/losses/eqlv2.py. MMDetection 3.3.0 contains the same loss, but its
    detectors erroneously compute scores with a softmax. As in the reference, the gradients of a batch do not include
    proposal weights, and they are added to the sums after the loss of the batch is computed. The initial probability is
    π = 0.001, as in the reference. Differences from the reference:

    - The sums are float64, because adding a small gradient to a large float32 sum has no effect.
    - The buffers contain the sums. The reference stores the ratio g, which an empty first batch sets to 0.
    - ``weights`` and ``avg_factor`` have an effect. The reference ignores both arguments.

    Args:
        num_classes: number of categories C, >= 1.
        gamma: γ > 0, slope of f.
        mu: μ >= 0, gradient ratio at which f is 1/2.
        alpha: α >= 0. Weights of positive samples are between 1 and 1 + α.
        background: "class" (default) or "none".
        sync: whether to sum the gradients over all processes. If False, each process sums only its own gradients. In
            this case, pass ``broadcast_buffers=False`` to DDP, which otherwise copies the sums of the first process.
        prior: π, initial value of each σ(z_j), as in ``SigmoidLoss``.

    Buffers:
        positive_gradients, negative_gradients: float64 (C,), sums of the gradients of positive and negative samples.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("class", "none")
    updates_first: ClassVar[bool] = False
    soft_labels: ClassVar[str | None] = "sigmoid"
    config_keys: ClassVar[dict[str, str]] = {
        "gamma": "EQL_V2.GAMMA",
        "mu": "EQL_V2.MU",
        "alpha": "EQL_V2.ALPHA",
        "prior": "EQL_V2.PRIOR",
    }
    positive_gradients: Tensor
    negative_gradients: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        background: str = "class",
        sync: bool = True,
        prior: float = 0.001,
    ):
        super().__init__(num_classes, background=background, prior=prior)
        self.gamma = check_number("gamma", gamma, "a number > 0", lambda value: value > 0)
        self.mu = check_number("mu", mu, "a number >= 0", lambda value: value >= 0)
        self.alpha = check_number("alpha", alpha, "a number >= 0", lambda value: value >= 0)
        self.sync = sync
        self.register_buffer("positive_gradients", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("negative_gradients", torch.zeros(num_classes, dtype=torch.float64))

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"prior": (data.prior,)}

    def gradient_ratio(self) -> Tensor:
        """Return the ratio of positive to negative gradient sums of each category, float64 (num_classes,).

        Before the first gradient of a category, the ratio is 100, which gives the weight 1 to its samples.
        """
        ratio = self.positive_gradients / (self.negative_gradients + 1e-10)
        unseen = (self.positive_gradients == 0) & (self.negative_gradients == 0)
        return ratio.masked_fill(unseen, _BALANCED)

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the weight of each binary loss, (N, L), for N proposals and L logits.

        The weights depend on the gradient ratios of the categories. For a soft label, the weight is interpolated
        between the weights of a positive and of a negative sample.
        """
        negative = torch.sigmoid(self.gamma * (self.gradient_ratio() - self.mu)).to(logits.dtype)
        if self.background == "class":
            negative = torch.cat([negative, negative.new_ones(1)])
        positive = 1 + self.alpha * (1 - negative)
        return positive * targets + negative * (1 - targets)

    def update_statistics(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> None:
        """Add the gradients of the positive and negative samples of each category in a batch to the buffers.

        For a soft label y, y times the gradient is added to the positive sum, and 1 - y times to the negative sum.
        """
        targets = self.targets(logits, labels, targets)
        gradients = (logits.sigmoid() - targets).abs() * self.factors(logits, labels, targets)
        positive = (gradients * targets).sum(dim=0)
        negative = (gradients * (1 - targets)).sum(dim=0)
        sums = torch.stack([positive, negative])[:, : self.num_classes].double()
        if self.sync:
            sums = all_reduce_sum(sums)
        self.positive_gradients += sums[0]
        self.negative_gradients += sums[1]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gamma={self.gamma}, mu={self.mu}, alpha={self.alpha}"
