"""Define ``Task``: the loaders and checks that differ between detection, segmentation and image classification."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.declared_keys import lookup


@dataclass(frozen=True)
class Task:
    """Functions of a training or an evaluation that depend on the task, such as detection or classification.

    All other functions of ``seesaw_d2.train`` are the same for all tasks. A ``Task`` contains no evaluator: as in
    Detectron2, the metadata of a dataset selects the evaluator.

    Attributes:
        num_classes_key: config key of the number of classes C.
        validate_datasets: function ``(cfg, training=bool)``. It raises ConfigError or DataError for invalid datasets.
        check_model: function ``(cfg, model)``. It raises ConfigError if the model does not match the config.
        load_training_records: function ``(cfg)`` that returns the dataset dicts of the training images.
        build_train_loader: function ``(cfg)`` that returns the training loader.
        build_test_loader: function ``(cfg, dataset_name)`` that returns the loader of a test set.
    """

    num_classes_key: str
    validate_datasets: Callable[..., None]
    check_model: Callable[[CfgNode, nn.Module], None]
    load_training_records: Callable[[CfgNode], Sequence[dict[str, Any]]]
    build_train_loader: Callable[[CfgNode], Iterable]
    build_test_loader: Callable[[CfgNode, str], Iterable]

    def num_classes(self, cfg: CfgNode) -> int:
        """Return the model's number of classes C, the value of the key ``num_classes_key`` in the config."""
        return lookup(cfg, self.num_classes_key)


def task_name(cfg: CfgNode) -> str:
    """Return the name of the task: "detection", "one-stage detection", "segmentation" or "classification".

    The class of the meta-architecture can define the name in its attribute ``task``. Without this attribute, the name
    is "segmentation" for subclasses of Detectron2's SemanticSegmentor, and "detection" for all other classes.

    Args:
        cfg: a config whose META_ARCHITECTURE is registered.
    """
    found = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    is_semantic = isinstance(found, type) and issubclass(found, SemanticSegmentor)
    return getattr(found, "task", "segmentation" if is_semantic else "detection")


def check_evaluation(cfg: CfgNode, model: nn.Module) -> None:
    """Raise ConfigError if TEST.CLASSIFICATION_ACCURACY or TEST.AUG.ENABLED is True. Only detectors support them."""
    for key in ("CLASSIFICATION_ACCURACY", "AUG.ENABLED"):
        if lookup(cfg.TEST, key):
            raise ConfigError(
                f"TEST.{key}: expected False with MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE!r}, found True. "
                "Only detectors support this evaluation."
            )
