"""Define the tasks of detection and one-stage detection, with or without masks.

The task of detection is the default for meta-architectures that do not select another task.
"""

import functools
from dataclasses import replace

from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY, GeneralizedRCNN
from torch import nn

from seesaw_d2.config.loading import default_config
from seesaw_d2.data.images.semantic_mapper import has_semantic_head
from seesaw_d2.data.records.training_records import load_training_dicts
from seesaw_d2.data.records.validation import validate_datasets, validate_label_maps
from seesaw_d2.data.sampling.loaders import build_test_loader, build_train_loader
from seesaw_d2.data.sampling.rare_objects import configured_rare_objects
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.box_classification import check_heads
from seesaw_d2.evaluation.evaluate import check_options
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.train.tasks.base import Task


def check_model(cfg: CfgNode, model: nn.Module) -> None:
    """Check that the model uses the config's classification loss, and that the evaluation supports the model.

    Raises:
        ConfigError: the config selects a loss that the model does not use, or a key of TEST or SOLVER.CHECKPOINT_BEST
            requests an evaluation that does not support the model.
    """
    check_options(cfg.TEST.LVIS_ENGINE, cfg.TEST.LVIS_METRICS)
    if cfg.TEST.CLASSIFICATION_ACCURACY:
        check_heads(ROI_HEADS_REGISTRY.get(cfg.MODEL.ROI_HEADS.NAME))
    if cfg.TEST.AUG.ENABLED:
        _check_augmentation(cfg, model)
    _check_best_metric(cfg)
    check_loss_is_used(cfg, model)


def validate(cfg: CfgNode, *, training: bool = True) -> None:
    """Check the annotations, images and categories of the datasets of a detection job.

    For PanopticFPN, also check the label maps. For Copy-Paste, also check that rare objects exist to be pasted.

    Args:
        cfg: a config whose datasets are registered.
        training: whether to check DATASETS.TRAIN and DATASETS.TEST. If False, check only DATASETS.TEST.

    Raises:
        ConfigError: the config does not match the datasets.
        DataError: an annotation file or an image is missing or invalid.
    """
    validate_datasets(cfg, training=training)
    if has_semantic_head(cfg):
        validate_label_maps(cfg, training=training)
    if training and cfg.INPUT.COPY_PASTE.ENABLED:
        configured_rare_objects(cfg, load_training_dicts(cfg))


def check_loss_is_used(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ConfigError if MODEL.ROI_BOX_HEAD sets CLS_LOSS or CLS_PREDICTOR, but the model ignores both keys.

    The model ignores them if it contains no classification loss of this project.
    """
    if any(isinstance(module, ClassificationLoss) for module in model.modules()):
        return
    defaults = default_config()
    for key in ("CLS_LOSS", "CLS_PREDICTOR"):
        if cfg.MODEL.ROI_BOX_HEAD[key] != defaults.MODEL.ROI_BOX_HEAD[key]:
            raise ConfigError(
                f"MODEL.ROI_BOX_HEAD.{key}: the values have no effect, because the model uses no loss of this project. "
                f"For detection, replace MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME!r} by SeesawROIHeads, "
                "SeesawRes5ROIHeads (C4), SeesawCascadeROIHeads, IterativeROIHeads or other heads with losses of this "
                "project. For semantic segmentation, set MODEL.SEM_SEG_HEAD.NAME to SeesawSemSegFPNHead."
            )


def _check_best_metric(cfg: CfgNode) -> None:
    """Raise ConfigError if SOLVER.CHECKPOINT_BEST names a metric that the evaluation of the model does not compute."""
    found = {"sem_seg/": has_semantic_head(cfg), "segm/": cfg.MODEL.MASK_ON, "keypoints/": cfg.MODEL.KEYPOINT_ON}
    for prefix, evaluated in found.items():
        if prefix in cfg.SOLVER.CHECKPOINT_BEST and not evaluated:
            raise ConfigError(
                "SOLVER.CHECKPOINT_BEST: expected a metric that the evaluation computes, such as bbox/AP, found "
                f"{cfg.SOLVER.CHECKPOINT_BEST!r}. For this model, the evaluation computes no metrics {prefix}*"
            )


def _check_augmentation(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ConfigError if Detectron2's test-time augmentation (TEST.AUG) does not support the model."""
    is_rcnn = isinstance(model, GeneralizedRCNN) and not has_semantic_head(cfg)
    wrong = {
        f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE!r}": not is_rcnn,
        "MODEL.KEYPOINT_ON True": cfg.MODEL.KEYPOINT_ON,
        "MODEL.LOAD_PROPOSALS True": cfg.MODEL.LOAD_PROPOSALS,
    }
    for found, is_wrong in wrong.items():
        if is_wrong:
            raise ConfigError(
                f"TEST.AUG.ENABLED: expected False with {found}, found True. Detectron2's test-time augmentation does "
                "not support this model."
            )


DETECTION = Task(
    num_classes_key="MODEL.ROI_HEADS.NUM_CLASSES",
    validate_datasets=validate,
    check_model=check_model,
    load_training_records=load_training_dicts,
    build_train_loader=build_train_loader,
    build_test_loader=build_test_loader,
)
_ONE_STAGE_CLASSES = "MODEL.RETINANET.NUM_CLASSES"
ONE_STAGE = replace(
    DETECTION,
    num_classes_key=_ONE_STAGE_CLASSES,
    validate_datasets=functools.partial(validate_datasets, num_classes_key=_ONE_STAGE_CLASSES),
)
