"""Define ``Task``: the functions that differ between detection, semantic segmentation and image classification."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from torch import nn

from seesaw_d2.utils.declared_keys import lookup


@dataclass(frozen=True)
class Task:
    """Functions of a job that depend on the task. All other functions of ``train`` are the same for all tasks.

    The task does not define the evaluator, because the metadata of a data set selects it, as in Detectron2.

    Attributes:
        num_classes_key: config key of C, the number of classes.
        validate_datasets: ``(cfg, training=bool)``. Raises ConfigError or DataError if the data sets are invalid.
        check_model: ``(cfg, model)``. Raises ConfigError if the model contradicts the rest of the config.
        load_training_records: ``(cfg)``. Returns the dataset dicts of the training images.
        build_train_loader: ``(cfg)``. Returns the training loader.
        build_test_loader: ``(cfg, dataset name)``. Returns the loader of a test set.
    """

    num_classes_key: str
    validate_datasets: Callable[..., None]
    check_model: Callable[[CfgNode, nn.Module], None]
    load_training_records: Callable[[CfgNode], Sequence[dict[str, Any]]]
    build_train_loader: Callable[[CfgNode], Iterable]
    build_test_loader: Callable[[CfgNode, str], Iterable]

    def num_classes(self, cfg: CfgNode) -> int:
        """Return C, the number of classes."""
        return lookup(cfg, self.num_classes_key)


def task_name(cfg: CfgNode) -> str:
    """Return "detection", "one-stage detection", "segmentation" or "classification".

    The name is the attribute ``task`` of the class that MODEL.META_ARCHITECTURE names. If the class lacks this
    attribute, the name is "segmentation" for subclasses of Detectron2's SemanticSegmentor, and "detection" for other
    classes.

    Args:
        cfg: a config whose META_ARCHITECTURE is registered.
    """
    found = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    is_semantic = isinstance(found, type) and issubclass(found, SemanticSegmentor)
    return getattr(found, "task", "segmentation" if is_semantic else "detection")
