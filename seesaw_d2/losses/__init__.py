"""Classification losses for long-tailed data, usable in any PyTorch program.

A new loss is one file with a subclass of ``ClassificationLoss``, registered in ``LOSS_REGISTRY`` and imported
here.
"""

from .balanced_group_softmax import BalancedGroupSoftmaxLoss
from .base import ClassificationLoss
from .build import LOSS_REGISTRY, build_loss
from .class_balanced import ClassBalancedFocalLoss
from .cross_entropy import CrossEntropyLoss
from .equalization import EqualizationLoss
from .equalization_v2 import EqualizationLossV2
from .federated import FederatedLoss
from .focal import FocalLoss
from .pairwise_class_balance import PairwiseClassBalance
from .seesaw import SeesawLoss
from .softmax_equalization import SoftmaxEqualizationLoss

__all__ = [
    "LOSS_REGISTRY",
    "BalancedGroupSoftmaxLoss",
    "ClassBalancedFocalLoss",
    "ClassificationLoss",
    "CrossEntropyLoss",
    "EqualizationLoss",
    "EqualizationLossV2",
    "FederatedLoss",
    "FocalLoss",
    "PairwiseClassBalance",
    "SeesawLoss",
    "SoftmaxEqualizationLoss",
    "build_loss",
]
