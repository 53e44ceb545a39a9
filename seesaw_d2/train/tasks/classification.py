"""Define the task of image classification, for meta-architectures with the attribute ``task = "classification"``."""

from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.data.classification.labelled_loaders import (
    build_classification_test_loader,
    build_classification_train_loader,
    load_labelled_records,
)
from seesaw_d2.data.classification.validation import validate_labelled_images
from seesaw_d2.errors import ConfigError
from seesaw_d2.train.tasks.base import Task


def check_model(cfg: CfgNode, model: nn.Module) -> None:
    """Check that the evaluation in the config supports the model.

    Raises:
        ConfigError: a key requests an evaluation that only detectors support.
    """
    if cfg.TEST.CLASSIFICATION_ACCURACY:
        raise ConfigError(
            "TEST.CLASSIFICATION_ACCURACY: expected False with MODEL.META_ARCHITECTURE "
            f"{cfg.MODEL.META_ARCHITECTURE!r}, found True. This evaluation classifies the boxes of a detector."
        )
    if cfg.TEST.AUG.ENABLED:
        raise ConfigError(
            "TEST.AUG.ENABLED: expected False with MODEL.META_ARCHITECTURE "
            f"{cfg.MODEL.META_ARCHITECTURE!r}, found True. Only detectors support test-time augmentation."
        )


CLASSIFICATION = Task(
    num_classes_key="MODEL.CLASSIFIER.NUM_CLASSES",
    validate_datasets=validate_labelled_images,
    check_model=check_model,
    load_training_records=load_labelled_records,
    build_train_loader=build_classification_train_loader,
    build_test_loader=build_classification_test_loader,
)
