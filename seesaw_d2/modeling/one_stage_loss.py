"""Build the classification loss of the one-stage detectors RetinaNet and FCOS from the config."""

import functools

from detectron2.config import CfgNode

from seesaw_d2.config.loading import default_config, read_value
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.losses.build import LOSS_REGISTRY, build_loss
from seesaw_d2.losses.sigmoid import SigmoidLoss
from seesaw_d2.modeling.building import check_program
from seesaw_d2.modeling.statistics_provider import training_statistics

_NODE = "MODEL.RETINANET"
# Config keys of Detectron2's focal loss. They have no effect, because CLS_LOSS replaces the focal loss. Therefore
# ``sigmoid_loss`` raises an error if they do not have their default values.
_REPLACED = (f"{_NODE}.FOCAL_LOSS_ALPHA", f"{_NODE}.FOCAL_LOSS_GAMMA", f"{_NODE}.PRIOR_PROB")


def sigmoid_loss(cfg: CfgNode) -> ClassificationLoss:
    """Build the sigmoid loss of a one-stage detector from MODEL.ROI_BOX_HEAD.CLS_LOSS.

    Raises:
        ConfigError: the config is invalid (see ``check_sigmoid_config``).
    """
    check_program(cfg)
    check_sigmoid_config(cfg)
    return build_loss(cfg, cfg.MODEL.RETINANET.NUM_CLASSES, functools.partial(training_statistics, cfg))


def check_sigmoid_config(cfg: CfgNode) -> None:
    """Raise ConfigError if the loss has no sigmoids, or a key of Detectron2's focal loss has a non-default value."""
    name = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME
    names = [known for known, each in LOSS_REGISTRY if issubclass(each, SigmoidLoss) and each.backgrounds != ("none",)]
    if name not in names:
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME: expected a sigmoid loss ({', '.join(names)}) with "
            f"MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE}, found {name!r}"
        )
    for key in _REPLACED:
        if read_value(cfg, key) != read_value(default_config(), key):
            raise ConfigError(
                f"{key}: expected the default {read_value(default_config(), key)} with MODEL.META_ARCHITECTURE "
                f"{cfg.MODEL.META_ARCHITECTURE}, found {read_value(cfg, key)}. Set ALPHA, GAMMA and PRIOR below "
                "MODEL.ROI_BOX_HEAD.CLS_LOSS.FOCAL instead."
            )
