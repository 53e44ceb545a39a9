"""Classification losses for long-tailed data, usable in any PyTorch program.

A new loss is one file with a subclass of ``ClassificationLoss``, registered in ``LOSS_REGISTRY`` and imported
here.
"""

from .base import ClassificationLoss
from .build import LOSS_REGISTRY, build_loss
from .cross_entropy import CrossEntropyLoss
from .pairwise_class_balance import PairwiseClassBalance
from .seesaw import SeesawLoss

__all__ = [
    "LOSS_REGISTRY",
    "ClassificationLoss",
    "CrossEntropyLoss",
    "PairwiseClassBalance",
    "SeesawLoss",
    "build_loss",
]
