"""Define Softmax Equalization Loss (SEQL), the variant of Equalization Loss for image classification.

Source: Tan et al., CVPR 2020, arXiv 2003.05176, section on SEQL.

Shapes: N images, C classes.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.batch_random import BatchRandom
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss


@LOSS_REGISTRY.register()
class SoftmaxEqualizationLoss(CrossEntropyLoss):
    """Cross-entropy that randomly excludes tail classes from the softmax for images of other classes.

    L = -log(e^{z_i} / Σ_k w̃_k e^{z_k}),   w̃_k = 1 - β T_λ(f_k) (1 - y_k).

    i is the label, z_k the logit of class k, and y_k is 1 for k = i, otherwise 0. T_λ(f_k) is 1 if the frequency f_k of
    class k is below λ, otherwise 0. β is drawn for each image and class. β is 1 with probability γ, otherwise 0. If γ
    is 1, tail classes have no negative gradients, and the model always predicts tail classes. (In a detector, tail
    categories of ``EqualizationLoss`` still have negative gradients from background proposals.)

    Reference: github tztztztztz/equalization_loss, simple_cls. The reference draws β with PyTorch's global generator.
    This loss computes β from a hash of the batch index (``BatchRandom``), so that a resumed training draws the same
    values as an uninterrupted training.

    Args:
        num_classes: number of classes C, >= 1.
        image_frequency: (C,) f in [0, 1], share of the training images that belong to the class, or None for inference
            only.
        lambda_: λ >= 0. Classes with a frequency below λ are tail classes. 4.3e-4 corresponds to 50 of the 115,846
            images of ImageNet-LT.
        gamma: γ in [0, 1]. 0 gives cross-entropy.
        background: must be "none".
        seed: seed of the random numbers β.

    Buffers:
        tail: bool (C,), True for tail classes, f < λ. Checkpoints do not contain this buffer, because the training data
            determines its values.
    """

    backgrounds: ClassVar[tuple[str, ...]] = ("none",)
    soft_labels: ClassVar[str | None] = None
    takes_maps: ClassVar[bool] = False  # all blocks of pixels would get the same random numbers
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
        frequency = category_values("image_frequency", image_frequency, num_classes, shares=True)
        self.register_buffer("tail", None if frequency is None else frequency < self.lambda_, persistent=False)
        self.random = BatchRandom(seed)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"lambda_": (data.rare_share,)}

    def update_statistics(self, logits: Tensor, labels: Tensor) -> None:
        """Advance the random number generator, so that other tail classes are excluded in the next batch."""
        self.random.next_batch()

    def adjusted_logits(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Replace the logits of the randomly excluded tail classes by -inf. Other logits do not change."""
        if self.tail is None:
            raise not_given("image_frequency")
        own = labels.unsqueeze(1) == torch.arange(self.num_classes, device=labels.device)
        ignored = (self.random.uniform(*logits.shape) < self.gamma) & self.tail & ~own
        return logits.masked_fill(ignored, -torch.inf)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, lambda_={self.lambda_}, gamma={self.gamma}"
