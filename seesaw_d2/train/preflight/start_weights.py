"""Check the initial weights of a job, and load them into a model on the CPU."""

import logging
import math

from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.train.checkpoints.checkpointer import SeesawCheckpointer
from seesaw_d2.train.checkpoints.resume_files import resume_file
from seesaw_d2.utils.category_names import Categories
from seesaw_d2.utils.downloads import limits_of
from seesaw_d2.weights.file_checks import check_weights_file
from seesaw_d2.weights.torchvision_backbones import SCHEME, check_torchvision_config


def check_weights(cfg: CfgNode, *, eval_only: bool, resume: bool) -> None:
    """Check that an evaluation has weights, and that the file ``MODEL.WEIGHTS`` can be read.

    If the job resumes from a checkpoint, check nothing, because the job ignores ``MODEL.WEIGHTS``.

    Args:
        cfg: config of the job.
        eval_only, resume: options of the command line.

    Raises:
        ConfigError: an evaluation has no weights, or a download limit is out of range.
        WeightsError: the file is missing or truncated.
    """
    if resume and resume_file(cfg.OUTPUT_DIR):
        return
    if eval_only and not cfg.MODEL.WEIGHTS:
        raise ConfigError(
            "MODEL.WEIGHTS: expected a weights file with --eval-only, found ''. Add MODEL.WEIGHTS path/to/model.pth, "
            f"or add --resume to evaluate the last checkpoint in {cfg.OUTPUT_DIR}"
        )
    limits = limits_of(cfg)
    for key, seconds in (("DOWNLOAD_TIMEOUT", limits.silence), ("DOWNLOAD_TIME_LIMIT", limits.total)):
        if not 0 < seconds < math.inf:
            raise ConfigError(f"MODEL.{key}: expected a finite number of seconds > 0, found {seconds}")
    if cfg.MODEL.WEIGHTS.startswith(SCHEME):
        check_torchvision_config(cfg)
    if cfg.MODEL.WEIGHTS:
        check_weights_file(cfg.MODEL.WEIGHTS, limits)


def check_trained(cfg: CfgNode, hint: str) -> None:
    """Check that ``MODEL.WEIGHTS`` can be read, and contains a trained model instead of a pretrained backbone.

    Args:
        cfg: the config.
        hint: last sentence of the error message, which tells the user how to set the weights.

    Raises:
        ConfigError: ``MODEL.WEIGHTS`` is empty or names a pretrained backbone.
        WeightsError: the file is missing or truncated.
    """
    weights = cfg.MODEL.WEIGHTS
    if not weights or weights.startswith((SCHEME, "detectron2://ImageNetPretrained/")):
        found = f"the pretrained backbone {weights}" if weights else "''"
        raise ConfigError(f"MODEL.WEIGHTS: expected the weights of a trained model, found {found}. {hint}")
    check_weights(cfg, eval_only=True, resume=False)


def load_start_weights(
    cfg: CfgNode, model: nn.Module, categories: Categories | None, *, eval_only: bool, resume: bool
) -> SeesawCheckpointer:
    """Load the weights with which a job starts into ``model``: the last checkpoint of the run, or ``MODEL.WEIGHTS``.

    This function logs nothing, because the job loads the same weights later, and then logs the messages.

    Args:
        cfg: config of the job.
        model: a model on the CPU, frozen according to MODEL.FREEZE.
        categories: class names of the job's datasets, or None if unknown.
        eval_only, resume: options of the command line.

    Returns:
        the checkpointer that loaded the weights. Its attribute ``incompatible`` lists missing, unexpected and wrongly
        shaped parameters.

    Raises:
        ConfigError: the config trains only a part of the model, and has no weights for the rest.
        WeightsError: the weights do not match parameters that must be loaded.
    """
    continues = resume and resume_file(cfg.OUTPUT_DIR) is not None
    checkpointer = SeesawCheckpointer(
        model,
        cfg.OUTPUT_DIR,
        strict=eval_only or continues,
        left_out=() if eval_only else cfg.MODEL.WEIGHTS_EXCEPT,
        categories=categories,
    )
    if cfg.MODEL.WEIGHTS or continues:
        checkpointer.logger = logging.Logger("silent")
        checkpointer.logger.addHandler(logging.NullHandler())
        path = checkpointer.get_checkpoint_file() if continues else cfg.MODEL.WEIGHTS
        checkpointer.load(path, checkpointables=[])
    else:
        _refuse_partial_training_from_nothing(cfg)
    return checkpointer


def _refuse_partial_training_from_nothing(cfg: CfgNode) -> None:
    partial = {
        "MODEL.FREEZE.NAMES": cfg.MODEL.FREEZE.NAMES,
        "MODEL.FREEZE.EXCEPT": cfg.MODEL.FREEZE.EXCEPT,
        "MODEL.WEIGHTS_EXCEPT": cfg.MODEL.WEIGHTS_EXCEPT,
        "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME LWSLinear": cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME == "LWSLinear",
    }
    keys = [key for key, is_set in partial.items() if is_set]
    if keys:
        raise ConfigError(
            f"MODEL.WEIGHTS: expected a file of trained weights, found an empty value. {' and '.join(keys)} train only "
            "a part of the model, so the other part must be loaded. Set MODEL.WEIGHTS, or reset these keys."
        )
