"""Detection or image classification: the meta-architecture says which."""

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY

from seesaw_d2.train.tasks.base import Task
from seesaw_d2.train.tasks.classification import CLASSIFICATION
from seesaw_d2.train.tasks.detection import DETECTION

TASKS = {"detection": DETECTION, "classification": CLASSIFICATION}


def task_of(cfg: CfgNode) -> Task:
    """The task of MODEL.META_ARCHITECTURE: the one that its class attribute ``task`` names, by default detection."""
    architecture = META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)
    return TASKS[getattr(architecture, "task", "detection")]


__all__ = ["CLASSIFICATION", "DETECTION", "Task", "task_of"]
