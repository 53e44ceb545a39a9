"""Warn if a model does not return detections with scores as low as a program requests."""

import logging

from detectron2.config import CfgNode

from seesaw_d2.evaluation.description import score_threshold_key
from seesaw_d2.utils.declared_keys import lookup

logger = logging.getLogger(__name__)


def warn_of_threshold(cfg: CfgNode, min_score: float) -> None:
    """Log a warning if the config's minimum score of detections is higher than ``min_score``, the requested minimum."""
    key = score_threshold_key(cfg.MODEL.META_ARCHITECTURE)
    if (limit := lookup(cfg, key)) > min_score:
        logger.warning(
            "--confidence-threshold %g: detections with scores up to %g are not drawn, because %s is %g. To draw them, "
            "lower this key",
            *(min_score, limit, key, limit),
        )
