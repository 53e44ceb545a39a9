"""Define Equalization Loss (EQL), which reduces the negative gradients of rare categories.

Source: Equalization Loss for Long-Tailed Object Recognition (Tan et al., CVPR 2020, arXiv 2003.05176).

Shapes: N proposals, C foreground categories, L = C logits.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from seesaw_d2.losses.base import check_number
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.category_statistics import category_values, not_given
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.losses.sigmoid import SigmoidLoss


@LOSS_REGISTRY.register()
class EqualizationLoss(SigmoidLoss):
    """Sigmoid cross-entropy in which tail categories have no loss for foreground proposals of other categories.

    Tail categories are categories with a low image frequency. Equation 3 of the paper:

    L = -Σ_j w_j log(p̂_j),   w_j = 1 - E(r) T_λ(f_j) (1 - y_j).

    The target y_j is 1 if j is the label, otherwise 0. p̂_j is σ(z_j) for y_j = 1 and 1 - σ(z_j) for y_j = 0. E(r) is 1
    if proposal r is foreground, otherwise 0. T_λ(f_j) is 1 if the frequency f_j of category j is below λ, otherwise 0.

    Reference: github tztztztztz/eqlv2, mmdet/models/losses/eql.py. As in the reference, f and λ are compared in
    float32, and the initial probability is π = 0.001. Differences from the reference:

    - ``weights`` and ``avg_factor`` have an effect. The reference ignores both and divides by the number of proposals.
    - Frequencies are computed from the training set. The reference reads a table for LVIS.

    Args:
        num_classes: number of categories C, >= 1.
        image_frequency: (C,) f in [0, 1], share of the annotated training images that contain the category, or None for
            inference only.
        lambda_: λ >= 0. Categories with a frequency below λ are tail categories. The paper uses 1.77e-3 for LVIS v0.5.
            The reference uses 1.1e-3 for LVIS v1. 0 gives binary cross-entropy.
        background: "implicit" (default), or "none", where all samples are foreground.
        prior: π, initial value of each σ(z_j), as in ``SigmoidLoss``.

    Buffers:
        tail: bool (C,), True for tail categories, f < λ. Checkpoints do not contain this buffer, because the training
            data determines its values.
    """

    config_keys: ClassVar[dict[str, str]] = {"lambda_": "EQL.LAMBDA", "prior": "EQL.PRIOR"}
    statistics_keys: ClassVar[dict[str, str]] = {"image_frequency": "image_frequency"}
    tail: Tensor | None

    def __init__(
        self,
        num_classes: int,
        *,
        image_frequency: Sequence[float] | Tensor | None,
        lambda_: float = 1.77e-3,
        background: str = "implicit",
        prior: float = 0.001,
    ):
        super().__init__(num_classes, background=background, prior=prior)
        self.lambda_ = check_number("lambda_", lambda_, "a number >= 0", lambda value: value >= 0)
        frequency = category_values("image_frequency", image_frequency, num_classes, shares=True)
        tail = None if frequency is None else frequency.float() < frequency.new_tensor(self.lambda_).float()
        self.register_buffer("tail", tail, persistent=False)

    @classmethod
    def compared_values(cls, data: TrainingData) -> dict[str, Sequence[Any]]:
        return {"lambda_": (data.rare_share,), "prior": (data.prior,)}

    def factors(self, logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
        """Return the weights w_j of the binary losses, (N, C), for N proposals and C categories j.

        The weight is 0 for a tail category in a foreground proposal of another category, otherwise 1.
        """
        if self.tail is None:
            raise not_given("image_frequency")
        foreground = (labels < self.num_classes).unsqueeze(1)
        return 1 - (foreground & self.tail).to(logits.dtype) * (1 - targets)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, lambda_={self.lambda_}"
