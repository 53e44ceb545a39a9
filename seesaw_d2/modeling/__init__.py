"""Provide heads, normalized layers and backbones. Importing this package registers them in Detectron2's registries."""

from seesaw_d2.modeling.backbones.image_backbone import ImageBackbone, build_image_backbone
from seesaw_d2.modeling.backbones.norm_eval_resnet import (
    FixedStatisticsBatchNorm2d,
    build_norm_eval_resnet_fpn_backbone,
)
from seesaw_d2.modeling.backbones.small_resnet import SmallStem, build_small_resnet_fpn_backbone
from seesaw_d2.modeling.box_predictor import SeesawBoxPredictor
from seesaw_d2.modeling.box_predictor_mixin import SeesawPredictors
from seesaw_d2.modeling.cascade import SeesawCascadeROIHeads
from seesaw_d2.modeling.fewer_gpu_syncs.rpn import BatchedRPN
from seesaw_d2.modeling.freeze import freeze
from seesaw_d2.modeling.image_classifier import ImageClassifier
from seesaw_d2.modeling.iterative_heads import FeatureUpdate, IterativeROIHeads
from seesaw_d2.modeling.lws import LWSLinear
from seesaw_d2.modeling.mask_head import NormedMaskHead, SelectiveMaskHead
from seesaw_d2.modeling.normalized_layers import NormedConv2d, NormedLinear
from seesaw_d2.modeling.one_stage import LongTailFCOS, LongTailRetinaNet
from seesaw_d2.modeling.roi_heads import SeesawRes5ROIHeads, SeesawROIHeads
from seesaw_d2.modeling.rpn_head import HeInitRPNHead
from seesaw_d2.modeling.semantic_head import SeesawSemSegFPNHead

__all__ = [
    "BatchedRPN",
    "FeatureUpdate",
    "FixedStatisticsBatchNorm2d",
    "HeInitRPNHead",
    "ImageBackbone",
    "ImageClassifier",
    "IterativeROIHeads",
    "LWSLinear",
    "LongTailFCOS",
    "LongTailRetinaNet",
    "NormedConv2d",
    "NormedLinear",
    "NormedMaskHead",
    "SeesawBoxPredictor",
    "SeesawCascadeROIHeads",
    "SeesawPredictors",
    "SeesawROIHeads",
    "SeesawRes5ROIHeads",
    "SeesawSemSegFPNHead",
    "SelectiveMaskHead",
    "SmallStem",
    "build_image_backbone",
    "build_norm_eval_resnet_fpn_backbone",
    "build_small_resnet_fpn_backbone",
    "freeze",
]
