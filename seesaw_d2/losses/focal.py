"""Define Focal Loss, a sigmoid cross-entropy with small weights for proposals that are classified well.

Source: Focal Loss for Dense Object Detection (Lin et al., ICCV 2017, arXiv 1708.02002).

Shapes: N proposals, C foreground categories, C logits per proposal.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.sigmoid import SigmoidLoss


@LOSS_REGISTRY.register()
class FocalLoss(SigmoidLoss):
    """Sigmoid cross-entropy with a small weight for proposals that are already classified well (equation 5).

    L = -Σ_j α_j (1 - p_j)^γ log(p_j), a sum over the categories j with the logits z_j. If j is the label, p_j = σ(z_j)
    and α_j = α. For all other categories, p_j = 1 - σ(z_j) and α_j = 1 - α.

    Reference: mmdet 3.3.0, mmdet/models/losses/focal_loss.py. Differences from the reference:

    - By default, the sum over the proposals is divided by the number of foreground proposals, as in section 4 of the
      paper, where α was chosen for this divisor. MMDetection's box heads divide by the number of all proposals. For
      example, if a quarter of the proposals is foreground, the loss of MMDetection is four times smaller.
    - The loss is computed in log space, so that the gradient is finite for every γ.

    Args:
        num_classes: number of categories C, >= 1.
        gamma: γ >= 0. 0 gives binary cross-entropy with the weights α_j.
        alpha: α in (0, 1). If None, all α_j are 1.
        background: "implicit" (default) or "none".
        prior: π, initial value of each σ(z_j), as in ``SigmoidLoss``.
    """

    config_keys: ClassVar[dict[str, str]] = {"gamma": "FOCAL.GAMMA", "alpha": "FOCAL.ALPHA", "prior": "FOCAL.PRIOR"}

    def __init__(
        self,
        num_classes: int,
        *,
        gamma: float = 2.0,
        alpha: float | None = 0.25,
        background: str = "implicit",
        prior: float = 0.01,
    ):
        super().__init__(num_classes, background=background, prior=prior)
        self.gamma = check_number("gamma", gamma, "a number >= 0", lambda value: value >= 0)
        if alpha is not None:
            alpha = check_number("alpha", alpha, "a number in (0, 1)", lambda value: 0 < value < 1)
        self.alpha = alpha

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"alpha": (0.25, 0.5), "gamma": (0.0, 2.0)}

    def num_averaged(self, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Return the number of foreground proposals with a positive weight, the default divisor of the loss."""
        foreground = labels < self.num_classes
        return (foreground if weights is None else foreground & (weights > 0)).sum()

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the factors α_j (1 - p_j)^γ of the binary losses, (N, C), for N proposals and C categories j.

        p_j is the predicted probability of the target: σ(z_j) for target 1, and 1 - σ(z_j) for target 0. Gradients also
        flow through the factors.
        """
        # Compute (1 - p)^gamma as exp(gamma * log(1 - p)), where p is the predicted probability of the target. For a
        # logit z, 1 - p is sigmoid(-z) for target 1, and sigmoid(z) for target 0.
        factors = (self.gamma * F.logsigmoid(logits * (1 - 2 * targets))).exp()
        if self.alpha is None:
            return factors
        return factors * (self.alpha * targets + (1 - self.alpha) * (1 - targets))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, gamma={self.gamma}, alpha={self.alpha}"
