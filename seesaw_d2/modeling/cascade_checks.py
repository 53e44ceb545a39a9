"""Check the config keys of Cascade R-CNN, such as the loss weights of the stages."""

import math
from collections.abc import Iterable

from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import InvalidArgument
from seesaw_d2.modeling.calibration.tau_normalization import TauNormalization
from seesaw_d2.utils.declared_keys import added_value

# Valid values of MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE. At test time, the heads average these outputs over the stages.
AVERAGES = ("probabilities", "logits")
_CALIBRATES_LOGITS = "TauNormalization calibrates the logits of each stage separately."


def check_average(average: str, predictors: Iterable[nn.Module]) -> None:
    """Raise InvalidArgument if the heads cannot average ``average``, "probabilities" or "logits", over the stages.

    Logits cannot be averaged if a box predictor in ``predictors`` has a TauNormalization, which calibrates the logits
    of each stage separately.
    """
    if average not in AVERAGES:
        raise InvalidArgument("average", f"one of {', '.join(AVERAGES)}", average)
    if average == "logits" and any(isinstance(getattr(p, "calibration", None), TauNormalization) for p in predictors):
        expected = '"probabilities" with TauNormalization'
        raise InvalidArgument("average", expected, average, _CALIBRATES_LOGITS)


def check_cascade_config(cfg) -> None:
    """Raise ConfigError if a config key of Cascade R-CNN is invalid.

    This function checks MODEL.ROI_BOX_CASCADE_HEAD, MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG and
    MODEL.ROI_MASK_HEAD.PER_STAGE.
    """
    added_value(cfg, "MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS")
    if not cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
        key = "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG"
        raise ConfigError(f"{key}: expected True, found False. The stages of a cascade refine class-agnostic boxes.")
    node = cfg.MODEL.ROI_BOX_CASCADE_HEAD
    stages, weights = len(node.IOUS), list(node.STAGE_LOSS_WEIGHTS)
    valid = all(type(weight) in (int, float) and 0 <= weight < math.inf for weight in weights)
    if len(weights) != stages or not valid:
        raise ConfigError(
            "MODEL.ROI_BOX_CASCADE_HEAD.STAGE_LOSS_WEIGHTS: expected one number >= 0 for each of the "
            f"{stages} stages of MODEL.ROI_BOX_CASCADE_HEAD.IOUS, found {weights}"
        )
    if node.AVERAGE not in AVERAGES:
        choices = " or ".join(f'"{name}"' for name in AVERAGES)
        raise ConfigError(f"MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE: expected {choices}, found {node.AVERAGE!r}")
    calibration = cfg.MODEL.ROI_HEADS.CALIBRATION.NAME
    if node.AVERAGE == "logits" and calibration == "TauNormalization":
        raise ConfigError(
            'MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE: expected "probabilities" with MODEL.ROI_HEADS.CALIBRATION.NAME '
            f"{calibration}, found {node.AVERAGE!r}. {_CALIBRATES_LOGITS}"
        )
    if cfg.MODEL.MASK_ON and cfg.MODEL.ROI_MASK_HEAD.PER_STAGE and not cfg.MODEL.ROI_MASK_HEAD.POOLER_TYPE:
        raise ConfigError(
            "MODEL.ROI_MASK_HEAD.PER_STAGE: expected False with MODEL.ROI_MASK_HEAD.POOLER_TYPE '', found True. The "
            "mask heads of the stages need pooled features. To use them, set POOLER_TYPE to ROIAlignV2."
        )
