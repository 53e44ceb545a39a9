"""Softmax Equalization Loss, EQL for image classification (Tan et al., CVPR 2020, arXiv 2003.05176, section on SEQL).

Shapes: N images, C classes.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss
from seesaw_d2.losses.sampling import BatchRandom


@LOSS_REGISTRY.register()
class SoftmaxEqualizationLoss(CrossEntropyLoss):
    """Cross-entropy in which most other classes' samples leave tail classes out of the softmax.

    L = -log(e^{z_i} / Σ_k w̃_k e^{z_k}),   w̃_k = 1 - β T_λ(f_k) (1 - y_k),
    T_λ(f) = 1 for f < λ, else 0; β is drawn for each image and class, 1 with probability γ, else 0.

    ``EqualizationLoss`` spares tail classes every punishment but background's, which an image does not have: without
    β they would never be told no, and win everywhere. Deviation: where the authors' code (simple_cls in
    tztztztztz/equalization_loss) draws from torch's global generator, β is a hash of the batch's number
    (``BatchRandom``), so that a resumed training draws what the uninterrupted one would.

    Args:
        num_classes: C >= 1.
        image_frequency: (C,) f >= 0, training images of the class over training images. None: not known, which
            serves inference alone.
        lambda_: λ >= 0, frequency below which a class is tail. 4.3e-4: 50 images of ImageNet-LT's 115,846.
        gamma: γ in [0, 1]; 0 is cross-entropy.
        background: "none", the only one.
        seed: of β.

    Buffers:
        tail: bool (C,), f < λ. Not saved: it describes the training data.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("none",)
    soft_labels: ClassVar[str | None] = None
    config_keys: ClassVar[dict[str, str]] = {"lambda_": "SOFTMAX_EQL.LAMBDA", "gamma": "SOFTMAX_EQL.GAMMA"}
    statistics_keys: ClassVar[dict[str, str]] = {"image_frequency": "image_frequency"}
    tail: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        image_frequency: Sequence[float] | Tensor | None,
        lambda_: float = 4.3e-4,
        gamma: float = 0.9,
        background: str = "none",
        seed: int = 0,
    ):
        super().__init__(num_classes, background=background)
        self.lambda_ = check_number("lambda_", lambda_, "a number >= 0", lambda value: value >= 0)
        self.gamma = check_number("gamma", gamma, "a number in [0, 1]", lambda value: 0 <= value <= 1)
        frequency = category_values("image_frequency", image_frequency, num_classes)
        self.register_buffer("tail", None if frequency is None else frequency < self.lambda_, persistent=False)
        self.random = BatchRandom(seed)

    def update_statistics(self, logits: Tensor, labels: Tensor) -> None:
        """Another draw for every batch."""
        self.random.next_batch()

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """z_k + log w̃_k: (N, C)."""
        if self.tail is None:
            raise not_given("image_frequency")
        own = labels.unsqueeze(1) == torch.arange(self.num_classes, device=labels.device)
        ignored = (self.random.uniform(*logits.shape) < self.gamma) & self.tail & ~own
        return logits.masked_fill(ignored, -torch.inf)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, lambda_={self.lambda_}, gamma={self.gamma}"
