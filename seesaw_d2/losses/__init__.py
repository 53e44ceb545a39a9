"""Provide classification losses for long-tailed data. The losses do not require Detectron2.

To add a loss, define a subclass of ``ClassificationLoss`` with the decorator ``@LOSS_REGISTRY.register()`` in a new
file, and import the class here.
"""

from seesaw_d2.losses.balanced_group_softmax import BalancedGroupSoftmaxLoss
from seesaw_d2.losses.balanced_softmax import BalancedSoftmaxLoss
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.losses.build import LOSS_REGISTRY, build_loss
from seesaw_d2.losses.class_balanced import ClassBalancedFocalLoss
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss
from seesaw_d2.losses.effective_class_margin import EffectiveClassMarginLoss
from seesaw_d2.losses.equalization import EqualizationLoss
from seesaw_d2.losses.equalization_v2 import EqualizationLossV2
from seesaw_d2.losses.equilibrium import EquilibriumLoss
from seesaw_d2.losses.federated import FederatedLoss
from seesaw_d2.losses.focal import FocalLoss
from seesaw_d2.losses.gumbel_optimized import GumbelOptimizedLoss
from seesaw_d2.losses.inverse_image_frequency import InverseImageFrequencyLoss
from seesaw_d2.losses.ldam import LDAMLoss
from seesaw_d2.losses.logit_adjusted import LogitAdjustedLoss
from seesaw_d2.losses.pairwise_class_balance import PairwiseClassBalance
from seesaw_d2.losses.seesaw import SeesawLoss
from seesaw_d2.losses.sigmoid import SigmoidLoss
from seesaw_d2.losses.soft_labels import soft_label_loss
from seesaw_d2.losses.softmax_equalization import SoftmaxEqualizationLoss

__all__ = [
    "LOSS_REGISTRY",
    "BalancedGroupSoftmaxLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedFocalLoss",
    "ClassificationLoss",
    "CrossEntropyLoss",
    "EffectiveClassMarginLoss",
    "EqualizationLoss",
    "EqualizationLossV2",
    "EquilibriumLoss",
    "FederatedLoss",
    "FocalLoss",
    "GumbelOptimizedLoss",
    "InverseImageFrequencyLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "PairwiseClassBalance",
    "SeesawLoss",
    "SigmoidLoss",
    "SoftmaxEqualizationLoss",
    "build_loss",
    "soft_label_loss",
]
