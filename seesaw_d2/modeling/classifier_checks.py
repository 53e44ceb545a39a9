"""Check the config of the last layer of classifiers."""

import logging
import math

from detectron2.config import CfgNode

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.utils.declared_keys import lookup
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)

CLASSIFIERS = ("NormedLinear", "Linear", "LWSLinear")  # valid values of MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME
_NODE = "MODEL.ROI_BOX_HEAD"


def check_classifier_config(box_head: CfgNode) -> None:
    """Raise ConfigError if CLS_PREDICTOR.NAME or TEMPERATURE in the node MODEL.ROI_BOX_HEAD is invalid.

    Log a warning if the loss assumes another temperature than that of the normalized classifier.
    """
    node = box_head.CLS_PREDICTOR
    if node.NAME not in CLASSIFIERS:
        raise ConfigError(f"{_NODE}.CLS_PREDICTOR.NAME: expected one of {', '.join(CLASSIFIERS)}, found {node.NAME!r}")
    if not 0 < node.TEMPERATURE < math.inf:
        raise ConfigError(f"{_NODE}.CLS_PREDICTOR.TEMPERATURE: expected a finite number > 0, found {node.TEMPERATURE}")
    name = box_head.CLS_LOSS.NAME
    key = LOSS_REGISTRY.get(name).temperature_key if name in LOSS_REGISTRY else ""
    if key and node.NAME == "NormedLinear" and lookup(box_head.CLS_LOSS, key) != node.TEMPERATURE:
        warn_once(
            logger,
            f"{_NODE}.CLS_LOSS.{key}: expected {node.TEMPERATURE:g}, the value of {_NODE}.CLS_PREDICTOR.TEMPERATURE, "
            f"found {lookup(box_head.CLS_LOSS, key):g}. If they differ, {name} has other margins than its paper.",
        )
