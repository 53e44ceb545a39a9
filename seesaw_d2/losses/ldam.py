"""Define LDAM-DRW, a cross-entropy with larger margins for rare categories and, late in the training, class weights.

Source: label-distribution-aware margins (LDAM) and deferred re-weighting (DRW), Cao et al., NeurIPS 2019, arXiv
1906.07413.

Shapes: C foreground categories.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import check_integer, check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.class_balanced import effective_number_weights
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss


@LOSS_REGISTRY.register()
class LDAMLoss(CrossEntropyLoss):
    """Cross-entropy that subtracts a margin from the logit of the label. Rare categories have larger margins.

    L = -v_i log(e^{z_i - s Δ_i} / (e^{z_i - s Δ_i} + Σ_{j≠i} e^{z_j})),   Δ_j = Δ_max (n_min / n_j)^{1/4}.

    This is equation 13, where i is the label, Δ_j is the margin of category j, n_j is the number of training instances
    of category j, at least 1, and n_min is the smallest n_j. The logits z are s times cosines, so the loss needs a
    normalized classifier with temperature s. The class weight v_i is 1 in the first ``start_iter`` training steps. In
    later steps, v_i is proportional to (1 - β) / (1 - β^{n_i}) (deferred re-weighting). Scores are the softmax of z.

    Reference: github kaidic/LDAM-DRW, losses.py and cifar_train.py. Differences from the reference:

    - The mean of v over the training instances is 1, and the sum of the losses is divided by ``avg_factor``. The
      reference divides by the sum of v_i over the batch, which has the same expected value.
    - Background is supported, with margin 0 and weight v = 1.

    Args:
        num_classes: number of categories C, >= 1.
        instance_counts: (C,) n >= 0, number of training instances of each category, or None for inference only.
        max_margin: Δ_max >= 0, the margin of the rarest category in units of the cosine.
        scale: s > 0, the temperature of the classifier. The paper uses 30.
        beta: β in [0, 1). 0 disables re-weighting.
        start_iter: integer >= 0, number of training steps without re-weighting.
        background: "objectness" (default), "class" or "none".

    Buffers:
        margins: float64 (C,), s Δ. Checkpoints do not contain this buffer, because the training data determines Δ.
        class_weights: float64 (C,), v after ``start_iter`` steps. Checkpoints do not contain this buffer either.
        steps: int64 scalar, number of training steps so far.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("objectness", "class", "none")
    soft_labels: ClassVar[str | None] = None
    config_keys: ClassVar[dict[str, str]] = {
        "max_margin": "LDAM.MAX_MARGIN",
        "scale": "LDAM.SCALE",
        "beta": "LDAM.BETA",
        "start_iter": "LDAM.START_ITER",
    }
    temperature_key: ClassVar[str] = "LDAM.SCALE"
    schedule_keys: ClassVar[tuple[str, ...]] = ("LDAM.START_EPOCH",)
    statistics_keys: ClassVar[dict[str, str]] = {"instance_counts": "instance_count"}
    margins: Tensor | None
    class_weights: Tensor | None
    steps: Tensor

    def __init__(
        self,
        num_classes: int,
        *,
        instance_counts: Sequence[int] | Tensor | None,
        max_margin: float = 0.5,
        scale: float = 20.0,
        beta: float = 0.9999,
        start_iter: int = 0,
        background: str = "objectness",
    ):
        super().__init__(num_classes, background=background)
        self.max_margin = check_number("max_margin", max_margin, "a number >= 0", lambda value: value >= 0)
        self.scale = check_number("scale", scale, "a number > 0", lambda value: value > 0)
        self.beta = check_number("beta", beta, "a number in [0, 1)", lambda value: 0 <= value < 1)
        self.start_iter = check_integer("start_iter", start_iter, 0)
        counts = category_values("instance_counts", instance_counts, num_classes)
        margins = weights = None
        if counts is not None:
            counts = counts.clamp(min=1)
            margins = self.scale * self.max_margin * (counts.min() / counts) ** 0.25
            weights = effective_number_weights(counts, self.beta, by_class=False)
        self.register_buffer("margins", margins, persistent=False)
        self.register_buffer("class_weights", weights, persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._is_first_call = True

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"start_iter": (round(0.7 * data.iterations),)}

    def set_iteration(self, index: int, count: int) -> None:
        self._is_first_call = index == 0

    def update_statistics(self, logits: Tensor, labels: Tensor) -> None:
        """Increment ``steps``. If a head classifies proposals several times per training step, count only the first."""
        if self._is_first_call:
            self.steps += 1

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits (samples, classes) after subtracting the margin of each label from the label's logit."""
        if self.margins is None:
            raise not_given("instance_counts")
        margins = self._of_labels(self.margins, labels, 0.0).to(logits.dtype)
        return logits.scatter_add(1, labels.unsqueeze(1), -margins.unsqueeze(1))

    def row_losses(self, logits: Tensor, labels: Tensor, targets: Tensor | None) -> Tensor:
        losses = super().row_losses(logits, labels, targets)
        if self.beta == 0:
            return losses
        weights = torch.where(self.steps > self.start_iter, self._of_labels(self.class_weights, labels, 1.0), 1.0)
        return losses * weights.to(losses.dtype)

    def _of_labels(self, values: Tensor | None, labels: Tensor, background: float) -> Tensor:
        """Return ``values[i]`` for each label i of a category, and the number ``background`` for a background label."""
        assert values is not None  # otherwise, adjusted_logits has already raised an error
        return torch.cat([values, values.new_full((1,), background)])[labels]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, max_margin={self.max_margin}, scale={self.scale}, beta={self.beta}"
