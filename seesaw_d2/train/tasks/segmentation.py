"""Define the task of semantic segmentation for Detectron2's SemanticSegmentor. PanopticFPN belongs to detection."""

from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.data.records.training_records import load_training_dicts
from seesaw_d2.data.records.validation import validate_semantic
from seesaw_d2.data.sampling.loaders import build_test_loader, build_train_loader
from seesaw_d2.errors import ConfigError
from seesaw_d2.train.tasks.base import Task, check_evaluation
from seesaw_d2.train.tasks.detection import check_loss_is_used


def check_model(cfg: CfgNode, model: nn.Module) -> None:
    """Check that the model uses the config's classification loss, and that the evaluation supports the model.

    Raises:
        ConfigError: the config selects a loss that the model does not use, or a key of TEST or SOLVER.CHECKPOINT_BEST
            requests an evaluation that does not support the model.
    """
    check_evaluation(cfg, model)
    if cfg.SOLVER.CHECKPOINT_BEST and "sem_seg/" not in cfg.SOLVER.CHECKPOINT_BEST:
        raise ConfigError(
            "SOLVER.CHECKPOINT_BEST: expected a metric of semantic segmentation such as sem_seg/mIoU, found "
            f"{cfg.SOLVER.CHECKPOINT_BEST!r}"
        )
    check_loss_is_used(cfg, model)


SEGMENTATION = Task(
    num_classes_key="MODEL.SEM_SEG_HEAD.NUM_CLASSES",
    validate_datasets=validate_semantic,
    check_model=check_model,
    load_training_records=load_training_dicts,
    build_train_loader=build_train_loader,
    build_test_loader=build_test_loader,
)
