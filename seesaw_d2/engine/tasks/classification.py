"""Image classification: meta-architectures with ``task = "classification"``."""

from detectron2.config import CfgNode
from detectron2.modeling import BACKBONE_REGISTRY

from seesaw_d2.data import (
    build_classification_test_loader,
    build_classification_train_loader,
    load_labelled_records,
    training_statistics,
    validate_labelled_images,
)
from seesaw_d2.engine.tasks.base import Task
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import build_loss
from seesaw_d2.modeling.box_predictor import check_classifier_config
from seesaw_d2.modeling.image_backbone import check_image_backbone


def check_classifier(cfg: CfgNode) -> None:
    """The loss, the classifier and the backbone are ones that can be built."""
    if cfg.TEST.CLASSIFICATION_ACCURACY:
        raise ConfigError(
            "TEST.CLASSIFICATION_ACCURACY: it classifies the boxes of a detector; expected False for "
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE!r}, whose accuracy is its result anyway"
        )
    check_classifier_config(cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR)
    build_loss(cfg, cfg.MODEL.CLASSIFIER.NUM_CLASSES, lambda: training_statistics(cfg), has_background=False)
    if cfg.MODEL.BACKBONE.NAME == "build_image_backbone":
        check_image_backbone(cfg.MODEL.CLASSIFIER.BACKBONE)


CLASSIFICATION = Task(
    num_classes_key="MODEL.CLASSIFIER.NUM_CLASSES",
    registries={"MODEL.BACKBONE.NAME": BACKBONE_REGISTRY},
    validate_datasets=validate_labelled_images,
    check_model=check_classifier,
    load_training_records=load_labelled_records,
    build_train_loader=build_classification_train_loader,
    build_test_loader=build_classification_test_loader,
)
