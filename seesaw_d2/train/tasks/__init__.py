"""Define the tasks: detection, one-stage detection, semantic segmentation and classification."""

from detectron2.config import CfgNode

from seesaw_d2.train.tasks.base import Task, task_name
from seesaw_d2.train.tasks.classification import CLASSIFICATION
from seesaw_d2.train.tasks.detection import DETECTION, ONE_STAGE
from seesaw_d2.train.tasks.segmentation import SEGMENTATION

TASKS = {
    "detection": DETECTION,
    "one-stage detection": ONE_STAGE,
    "segmentation": SEGMENTATION,
    "classification": CLASSIFICATION,
}


def task_of(cfg: CfgNode) -> Task:
    """Return the functions for the task of MODEL.META_ARCHITECTURE, such as loaders and checks of datasets."""
    return TASKS[task_name(cfg)]


__all__ = ["CLASSIFICATION", "DETECTION", "ONE_STAGE", "SEGMENTATION", "Task", "task_of"]
