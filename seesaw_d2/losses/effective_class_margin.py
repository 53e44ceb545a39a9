"""Define the Effective Class-Margin loss (ECM), a sigmoid cross-entropy with a margin for each category.

Source: Long-tail Detection with Effective Class-Margins (Cho and Krähenbühl, ECCV 2022, arXiv 2301.09724).

Shapes: N proposals, C foreground categories, L = C + 1 logits, background last. Label C is background.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.sigmoid import SigmoidLoss


@LOSS_REGISTRY.register()
class EffectiveClassMarginLoss(SigmoidLoss):
    """Sigmoid cross-entropy with a margin and a weight for each category, computed from the instance counts.

    L = Σ_c w_c BCE(σ(2 z_c + d_c), y_c),   d_c = 1/4 log(n_c / (T - n_c)),
    w_c = (T - n_c) / n_c · log(T / (T - n_c)).

    BCE is the binary cross-entropy, z_c is the logit, w_c the weight and d_c the margin of category c. The target y_c
    is 1 if c is the label, otherwise 0. n_c is the number of training instances of category c, at least 1. Background
    is an additional category, whose n is ``background_ratio`` times the sum of n over the C categories. T is the sum of
    n over the categories and background. The scores are σ(z_c) (1 - σ(z_background)), without margins and without the
    factor 2.

    Reference: github janghyuncho/ECM-Loss, mmdet/models/losses/effective_class_margin_loss.py. Differences from the
    reference:

    - The weights w are computed in float64 with log1p. The float32 weights of the reference are wrong by more than 5 %
      for 163 categories of LVIS v1.
    - The loss is finite for large logits.
    - ``weights`` and ``avg_factor`` have an effect. The reference ignores both arguments.

    Args:
        num_classes: number of categories C, >= 1.
        instance_counts: (C,) n >= 0, number of training instances of each category, or None for inference only.
        background_ratio: > 0, ratio of background samples to foreground instances.
        background: must be "class".
        prior: π, initial value of each σ(z_c), as in ``SigmoidLoss``.

    Buffers (checkpoints do not contain these buffers, because the training data determines the values):
        class_weights: float64 (C + 1,), w of each category and of background last.
        margins: float64 (C + 1,), d of each category and of background last.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("class",)
    config_keys: ClassVar[dict[str, str]] = {"background_ratio": "ECM.BACKGROUND_RATIO", "prior": "ECM.PRIOR"}
    statistics_keys: ClassVar[dict[str, str]] = {"instance_counts": "instance_count"}
    class_weights: Tensor | None
    margins: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        instance_counts: Sequence[int] | Tensor | None,
        background_ratio: float = 6.3313,
        background: str = "class",
        prior: float = 0.001,
    ):
        super().__init__(num_classes, background=background, prior=prior)
        self.background_ratio = check_number("background_ratio", background_ratio, "a number > 0", lambda v: v > 0)
        counts = category_values("instance_counts", instance_counts, num_classes)
        weights, margins = (None, None) if counts is None else self._effective_margins(counts.clamp(min=1))
        self.register_buffer("class_weights", weights, persistent=False)
        self.register_buffer("margins", margins, persistent=False)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"prior": (data.prior,)}

    def compute(self, logits, labels, weights, avg_factor):
        if self.margins is None:
            raise not_given("instance_counts")
        return super().compute(2 * logits + self.margins.to(logits.dtype), labels, weights, avg_factor)

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the weight w_c of the binary loss of each category c and of background, (C + 1,), background last."""
        assert self.class_weights is not None  # otherwise, compute has already raised an error
        return self.class_weights.to(logits.dtype)

    def _effective_margins(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights w and the margins d of C categories and background, (C + 1,) each, background last.

        ``counts``, (C,), are the numbers of training instances of the categories, >= 1.
        """
        background = self.background_ratio * counts.sum()
        samples = torch.cat([counts, background.reshape(1)])
        others = samples.sum() - samples
        weights = others / samples * torch.log1p(samples / others)
        return weights, (samples / others).log() / 4

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, background_ratio={self.background_ratio}"
