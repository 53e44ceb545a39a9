"""Detection and instance segmentation: every meta-architecture that declares no other task."""

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import BACKBONE_REGISTRY, PROPOSAL_GENERATOR_REGISTRY, ROI_HEADS_REGISTRY
from detectron2.modeling.proposal_generator.rpn import RPN_HEAD_REGISTRY
from detectron2.modeling.roi_heads import ROI_BOX_HEAD_REGISTRY, ROI_MASK_HEAD_REGISTRY

from seesaw_d2.config import add_seesaw_config
from seesaw_d2.data import build_test_loader, build_train_loader, training_statistics, validate_datasets
from seesaw_d2.engine.tasks.base import Task
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import build_loss
from seesaw_d2.modeling.box_predictor import check_classifier_config


def check_loss(cfg: CfgNode) -> None:
    """Build the classification loss once, for its own checks; refuse one that the ROI heads would not use."""
    box_head = cfg.MODEL.ROI_BOX_HEAD
    if ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME).__module__.startswith("detectron2."):
        defaults = get_cfg()
        add_seesaw_config(defaults)
        for key in ("CLS_LOSS", "CLS_PREDICTOR"):
            if box_head[key] != defaults.MODEL.ROI_BOX_HEAD[key]:
                raise ConfigError(
                    f"MODEL.ROI_BOX_HEAD.{key} is set, and MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME!r}, a head "
                    "of Detectron2's, does not use it: expected SeesawROIHeads or SeesawCascadeROIHeads"
                )
        return
    check_classifier_config(box_head.CLS_PREDICTOR)
    build_loss(cfg, cfg.MODEL.ROI_HEADS.NUM_CLASSES, lambda: training_statistics(cfg))


DETECTION = Task(
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
    build_train_loader=build_train_loader,
    build_test_loader=build_test_loader,
)
