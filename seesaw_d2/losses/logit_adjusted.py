"""Define the logit-adjusted loss, a cross-entropy of logits to which the log frequency of each category is added.

Source: Long-tail Learning via Logit Adjustment (Menon et al., ICLR 2021, arXiv 2007.07314).

Shapes: C foreground categories.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from seesaw_d2.losses.balanced_softmax import BalancedSoftmaxLoss
from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.compared import TrainingData


@LOSS_REGISTRY.register()
class LogitAdjustedLoss(BalancedSoftmaxLoss):
    """Cross-entropy of logits to which the log frequency of each category is added (equation 10).

    The loss is the cross-entropy of z_j + τ log π_j, where z_j is the logit of category j and π_j is the share of the
    training instances that belong to category j. Scores are the softmax of z. τ = 1 gives Balanced Softmax.

    Reference: github google-research/google-research, logit_adjustment (image classification). Differences from the
    reference:

    - A category without instances counts as if it had one instance.
    - Detectors are supported. An objectness branch predicts background.

    Args:
        num_classes: number of categories C, >= 1.
        instance_counts: (C,) n >= 0, number of training instances of each category, or None for inference only.
        tau: τ >= 0. 0 gives cross-entropy. The paper uses 1.
        background: "objectness" (default) or "none".

    Buffers:
        log_prior: float64 (C,), log π. Checkpoints do not contain this buffer, because the training data determines π.
    """

    config_keys: ClassVar[dict[str, str]] = {"tau": "LOGIT_ADJUSTED.TAU"}

    def __init__(
        self,
        num_classes: int,
        *,
        instance_counts: Sequence[int] | Tensor | None,
        tau: float = 1.0,
        background: str = "objectness",
    ):
        super().__init__(num_classes, instance_counts=instance_counts, background=background)
        self.tau = check_number("tau", tau, "a number >= 0", lambda value: value >= 0)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"tau": (0.5, 1.5)}

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits z_j + τ log π_j, where π_j is the share of category j in all training instances.

        ``logits`` and the result have the shape (samples, categories). ``labels`` are ignored.
        """
        return logits + self.tau * self.prior_offsets(logits)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, tau={self.tau}"
