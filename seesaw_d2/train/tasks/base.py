"""Task: the functions that differ between detection, semantic segmentation and image classification."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from torch import nn


@dataclass(frozen=True)
class Task:
    """The functions of a job that the tasks do not share.

    Everything else in ``train`` is written once. The evaluator is chosen by the metadata of the data set, as in
    Detectron2.

    Attributes:
        num_classes_key: config key of C, the number of classes.
        validate_datasets: ``(cfg, training=bool)``; raises ConfigError or DataError if the data sets are wrong.
        check_model: ``(cfg, model)``; raises ConfigError if the model does not fit the rest of the config.
        load_training_records: ``(cfg)`` -> the dataset dicts that are trained on, which make one epoch.
        build_train_loader: ``(cfg)`` -> the training loader.
        build_test_loader: ``(cfg, dataset name)`` -> the loader of a test set.
    """

    num_classes_key: str
    validate_datasets: Callable[..., None]
    check_model: Callable[[CfgNode, nn.Module], None]
    load_training_records: Callable[[CfgNode], Sequence[dict[str, Any]]]
    build_train_loader: Callable[[CfgNode], Iterable]
    build_test_loader: Callable[[CfgNode, str], Iterable]

    def num_classes(self, cfg: CfgNode) -> int:
        """Return C."""
        return functools.reduce(getattr, self.num_classes_key.split("."), cfg)


def task_name(cfg: CfgNode) -> str:
    """Return "detection", "one-stage detection", "segmentation" or "classification".

    It is the attribute ``task`` of MODEL.META_ARCHITECTURE, or else "segmentation" for Detectron2's SemanticSegmentor.

    Args:
        cfg: its META_ARCHITECTURE is registered.
    """
    found = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    is_semantic = isinstance(found, type) and issubclass(found, SemanticSegmentor)
    return getattr(found, "task", "segmentation" if is_semantic else "detection")
