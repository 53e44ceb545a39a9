"""Heads, normalized layers and backbones; importing it registers them in Detectron2's registries."""

from seesaw_d2.modeling.backbones.image_backbone import ImageBackbone, build_image_backbone
from seesaw_d2.modeling.backbones.norm_eval_resnet import (
    FixedStatisticsBatchNorm2d,
    build_norm_eval_resnet_fpn_backbone,
)
from seesaw_d2.modeling.backbones.small_resnet import SmallStem, build_small_resnet_fpn_backbone

from .box_predictor import SeesawBoxPredictor
from .cascade import SeesawCascadeROIHeads
from .freeze import freeze
from .image_classifier import ImageClassifier
from .iterative import FeatureUpdate, IterativeROIHeads
from .lws import LWSLinear
from .mask_head import NormedMaskHead, SelectiveMaskHead
from .normalized import NormedConv2d, NormedLinear
from .roi_heads import SeesawROIHeads
from .rpn_head import HeInitRPNHead

__all__ = [
    "FeatureUpdate",
    "FixedStatisticsBatchNorm2d",
    "HeInitRPNHead",
    "ImageBackbone",
    "ImageClassifier",
    "IterativeROIHeads",
    "LWSLinear",
    "NormedConv2d",
    "NormedLinear",
    "NormedMaskHead",
    "SeesawBoxPredictor",
    "SeesawCascadeROIHeads",
    "SeesawROIHeads",
    "SelectiveMaskHead",
    "SmallStem",
    "build_image_backbone",
    "build_norm_eval_resnet_fpn_backbone",
    "build_small_resnet_fpn_backbone",
    "freeze",
]
