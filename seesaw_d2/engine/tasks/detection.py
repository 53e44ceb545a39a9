"""Detection and instance segmentation: every meta-architecture that declares no other task."""

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import BACKBONE_REGISTRY, PROPOSAL_GENERATOR_REGISTRY, ROI_HEADS_REGISTRY
from detectron2.modeling.proposal_generator.rpn import RPN_HEAD_REGISTRY
from detectron2.modeling.roi_heads import ROI_BOX_HEAD_REGISTRY, ROI_MASK_HEAD_REGISTRY

from seesaw_d2.config import add_seesaw_config
from seesaw_d2.data import (
    build_test_loader,
    build_train_loader,
    load_training_dicts,
    training_statistics,
    validate_datasets,
)
from seesaw_d2.engine.tasks.base import Task
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation import check_options
from seesaw_d2.evaluation.box_classification import check_heads
from seesaw_d2.losses import build_loss
from seesaw_d2.modeling.box_predictor import check_classifier_config, check_loss_keys
from seesaw_d2.modeling.cascade import check_cascade_config
from seesaw_d2.modeling.iterative import check_iterative_config


def _check_evaluation(cfg: CfgNode) -> None:
    check_options(cfg.TEST.LVIS_ENGINE, cfg.TEST.LVIS_METRICS)
    if cfg.TEST.CLASSIFICATION_ACCURACY:
        check_heads(ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME))


def check_loss(cfg: CfgNode) -> None:
    """Build the classification loss of each stage once, for its own checks; refuse one that would not be used."""
    _check_evaluation(cfg)
    box_head = cfg.MODEL.ROI_BOX_HEAD
    if ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME).__module__.startswith("detectron2."):
        defaults = get_cfg()
        add_seesaw_config(defaults)
        for key in ("CLS_LOSS", "CLS_PREDICTOR"):
            if box_head[key] != defaults.MODEL.ROI_BOX_HEAD[key]:
                raise ConfigError(
                    f"MODEL.ROI_BOX_HEAD.{key} is set, and MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME!r}, a head "
                    "of Detectron2's, does not use it: expected SeesawROIHeads, SeesawCascadeROIHeads or "
                    "IterativeROIHeads"
                )
        return
    if cfg.MODEL.ROI_HEADS.NAME == "IterativeROIHeads":
        check_iterative_config(cfg)
    num_stages = 1
    if cfg.MODEL.ROI_HEADS.NAME == "SeesawCascadeROIHeads":
        check_cascade_config(cfg)
        num_stages = len(cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS)
    check_loss_keys(cfg)
    check_classifier_config(box_head.CLS_PREDICTOR)
    num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    for stage in range(num_stages):
        build_loss(cfg, num_classes, lambda: training_statistics(cfg), stage=stage, num_stages=num_stages)


DETECTION = Task(
    num_classes_key="MODEL.ROI_HEADS.NUM_CLASSES",
    registries={
        "MODEL.BACKBONE.NAME": BACKBONE_REGISTRY,
        "MODEL.PROPOSAL_GENERATOR.NAME": PROPOSAL_GENERATOR_REGISTRY,
        "MODEL.RPN.HEAD_NAME": RPN_HEAD_REGISTRY,
        "MODEL.ROI_HEADS.NAME": ROI_HEADS_REGISTRY,
        "MODEL.ROI_BOX_HEAD.NAME": ROI_BOX_HEAD_REGISTRY,
        "MODEL.ROI_MASK_HEAD.NAME": ROI_MASK_HEAD_REGISTRY,
    },
    validate_datasets=validate_datasets,
    check_model=check_loss,
    load_training_records=load_training_dicts,
    build_train_loader=build_train_loader,
    build_test_loader=build_test_loader,
)
