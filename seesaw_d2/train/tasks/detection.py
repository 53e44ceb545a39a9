"""Detection and instance segmentation: every meta-architecture that declares no other task."""

from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import BACKBONE_REGISTRY, PROPOSAL_GENERATOR_REGISTRY, ROI_HEADS_REGISTRY, GeneralizedRCNN
from detectron2.modeling.proposal_generator.rpn import RPN_HEAD_REGISTRY
from detectron2.modeling.roi_heads import ROI_BOX_HEAD_REGISTRY, ROI_MASK_HEAD_REGISTRY
from torch import nn

from seesaw_d2.config import add_seesaw_config
from seesaw_d2.data import (
    build_test_loader,
    build_train_loader,
    load_training_dicts,
    validate_datasets,
)
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.box_classification import check_heads
from seesaw_d2.evaluation.evaluate import check_options
from seesaw_d2.losses import ClassificationLoss
from seesaw_d2.train.tasks.base import Task


def check_model(cfg: CfgNode, model: nn.Module) -> None:
    """The model uses what the config says of the classification loss, and can be evaluated as it says."""
    check_options(cfg.TEST.LVIS_ENGINE, cfg.TEST.LVIS_METRICS)
    if cfg.TEST.CLASSIFICATION_ACCURACY:
        check_heads(ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME))
    if cfg.TEST.AUG.ENABLED:
        _check_augmentation(cfg, model)
    if any(isinstance(module, ClassificationLoss) for module in model.modules()):
        return
    defaults = get_cfg()
    add_seesaw_config(defaults)
    for key in ("CLS_LOSS", "CLS_PREDICTOR"):
        if cfg.MODEL.ROI_BOX_HEAD[key] != defaults.MODEL.ROI_BOX_HEAD[key]:
            raise ConfigError(
                f"MODEL.ROI_BOX_HEAD.{key} is set, and MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME!r} does not use "
                "it: expected SeesawROIHeads, SeesawCascadeROIHeads, IterativeROIHeads or another head with one of "
                "this project's losses"
            )


def _check_augmentation(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ConfigError where Detectron2's test-time augmentation, TEST.AUG, cannot evaluate the model."""
    wrong = {
        f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE!r}": not isinstance(model, GeneralizedRCNN),
        "MODEL.KEYPOINT_ON True": cfg.MODEL.KEYPOINT_ON,
        "MODEL.LOAD_PROPOSALS True": cfg.MODEL.LOAD_PROPOSALS,
    }
    for found, is_wrong in wrong.items():
        if is_wrong:
            raise ConfigError(f"TEST.AUG.ENABLED: expected False with {found}, found True")


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
    check_model=check_model,
    load_training_records=load_training_dicts,
    build_train_loader=build_train_loader,
    build_test_loader=build_test_loader,
)
