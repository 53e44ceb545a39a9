"""Define τ-normalization, which normalizes the weights of a linear classifier at inference.

Source: Decoupling Representation and Classifier for Long-Tailed Recognition (Kang et al., ICLR 2020).

Shapes: N proposals, D features, C categories, L >= C logits. The last L - C logits model background.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from seesaw_d2.losses.base import ClassificationLoss, check_number
from seesaw_d2.modeling.calibration.base import Calibration


def row_scales(weight: Tensor, num_classes: int, tau: float) -> Tensor:
    """Return the factor ‖w_i‖^-τ for the weight vector w_i of each of C categories, float64 (C, 1), or 1 for w_i = 0.

    Args:
        weight: (L, D), weights of the classifier for L logits and D features. The first C rows belong to the
            categories.
        num_classes: number of categories C.
        tau: τ >= 0.
    """
    norm = torch.linalg.vector_norm(weight[:num_classes].double(), dim=1, keepdim=True)
    return torch.where(norm > 0, norm.pow(-tau), 1.0)


class TauNormalization(Calibration):
    """Divide the weights w_i of each category in a linear classifier by ‖w_i‖^τ at inference (section 4.2).

    Frequent categories have weights with larger norms, and therefore larger logits. Biases and the weights of
    background do not change, as in the reference of BAGS (BalancedGroupSoftmax, tools/test_lvis_tnorm.py). Kang et al.
    classify images without background and omit the bias.

    ``tools/tau_normalize.py`` writes a checkpoint with normalized weights instead. The two methods differ in
    ``IterativeROIHeads``: the checkpoint changes the logits of each iteration, but this class changes only the scores
    after the last iteration.

    Args:
        num_classes: number of categories C.
        tau: τ >= 0, usually in [0, 1]. 0 does not change the scores. With 1, the weights of each category have norm 1.
    """

    config_keys: ClassVar[dict[str, str]] = {"tau": "TAU"}
    grid: ClassVar[tuple[float, ...]] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    needs_counts: ClassVar[bool] = False

    def __init__(self, num_classes: int, tau: float):
        super().__init__(torch.zeros(num_classes, dtype=torch.float64))
        self.num_classes = num_classes
        self.tau = check_number("tau", tau, "a number >= 0", lambda value: value >= 0)

    @classmethod
    def from_statistics(cls, statistics: Any, **arguments: Any) -> "TauNormalization":
        return cls(statistics.num_classes, **arguments)

    @classmethod
    def check(cls, loss: ClassificationLoss, cls_predictor: str) -> None:
        """Raise InvalidArgument unless the classifier is a linear layer with one logit for each category."""
        if cls_predictor != "Linear":
            advice = (
                "TauNormalization supports only Linear, because NormedLinear already normalizes its weights and "
                "LWSLinear learns their scales."
            )
            raise cls.unsupported(f"MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME {cls_predictor}", advice)
        if loss.num_logits > loss.num_classes + 2:
            advice = "TauNormalization supports one logit for each category and at most two logits for background."
            raise cls.unsupported(f"{type(loss).__name__} with {loss.num_logits} logits", advice)

    def adjust_logits(self, logits: Tensor, classifier: nn.Linear) -> Tensor:
        scale = row_scales(classifier.weight.detach(), self.num_classes, self.tau).flatten().to(logits.dtype)
        bias = classifier.bias[: self.num_classes].to(logits.dtype) if classifier.bias is not None else 0
        categories = (logits[:, : self.num_classes] - bias) * scale + bias
        return torch.cat([categories, logits[:, self.num_classes :]], dim=1)

    def forward(self, probs: Tensor, background: str) -> Tensor:
        """Return ``probs`` unchanged, because ``adjust_logits`` has already calibrated the logits."""
        return probs
