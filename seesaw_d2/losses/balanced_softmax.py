"""Define Balanced Softmax, a cross-entropy that weights each category by its number of training instances.

Source: Balanced Meta-Softmax for Long-Tailed Visual Recognition (Ren et al., NeurIPS 2020, arXiv 2007.10740).

Shapes: C foreground categories.
"""

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss


@LOSS_REGISTRY.register()
class BalancedSoftmaxLoss(CrossEntropyLoss):
    """Cross-entropy with a softmax that weights each category by its number of training instances (equation 3).

    L = -log(n_i e^{z_i} / Σ_j n_j e^{z_j}), where i is the label, z_j the logit and n_j the number of instances of
    category j. Scores are the softmax of z, which estimates the probabilities for balanced data.

    Reference: github jiawei-ren/BalancedMetaSoftmax-Classification. Differences from the reference:

    - A category without instances has n_j = 1. The reference divides by zero.
    - Detectors use a softmax over the categories and an objectness branch for background, because the annotations do
      not contain the number of background instances. The authors train detectors with sigmoids.
    - The meta sampler, which is part of the paper's method, is not implemented.

    Args:
        num_classes: number of categories C, >= 1.
        instance_counts: (C,) n >= 0, number of training instances of each category, or None for inference only.
        background: "objectness" (default) or "none".

    Buffers:
        log_prior: float64 (C,), log(n_j / Σ_k n_k), where n_j is at least 1. Checkpoints do not contain this buffer,
            because the training data determines the values.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("objectness", "none")
    soft_labels: ClassVar[str | None] = None
    statistics_keys: ClassVar[dict[str, str]] = {"instance_counts": "instance_count"}
    log_prior: Tensor | None

    def __init__(
        self, num_classes: int, *, instance_counts: Sequence[int] | Tensor | None, background: str = "objectness"
    ):
        super().__init__(num_classes, background=background)
        counts = category_values("instance_counts", instance_counts, num_classes)
        log_prior = None if counts is None else (counts.clamp(min=1) / counts.clamp(min=1).sum()).log()
        self.register_buffer("log_prior", log_prior, persistent=False)

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the logits z_j + log π_j, where π_j is the share of category j in the training instances.

        ``logits`` and the result have the shape (samples, categories). ``labels`` are ignored.
        """
        return logits + self.prior_offsets(logits)

    def prior_offsets(self, logits: Tensor) -> Tensor:
        """Return log π_j for each category j, (C,), where π_j is its share in all training instances."""
        if self.log_prior is None:
            raise not_given("instance_counts")
        return self.log_prior.to(logits.dtype)
