"""The registry of calibrations, and ``build_calibration``, which builds one from a config."""

from collections.abc import Sequence
from typing import Any

from seesaw_d2.config.loading import default_config
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument, lookup
from seesaw_d2.losses.build import build_loss
from seesaw_d2.modeling.calibration.base import Calibration
from seesaw_d2.modeling.calibration.fracal import FRACAL
from seesaw_d2.modeling.calibration.logit_adjustment import LogitAdjustment
from seesaw_d2.modeling.calibration.norcal import NorCal
from seesaw_d2.modeling.calibration.statistics import calibration_statistics
from seesaw_d2.modeling.calibration.tau_normalization import TauNormalization
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.registry import Registry

CALIBRATION_REGISTRY = Registry("CALIBRATION")
CALIBRATION_REGISTRY.__doc__ = "Calibrations by class name: subclasses of Calibration."
for _each in (NorCal, FRACAL, LogitAdjustment, TauNormalization):
    CALIBRATION_REGISTRY.register(_each)

_NODE = "MODEL.ROI_HEADS.CALIBRATION"


def build_calibration(cfg: Any, loss: ClassificationLoss, stage: int = 0, num_stages: int = 1) -> Calibration | None:
    """Build the calibration that MODEL.ROI_HEADS.CALIBRATION describes. Return None if its NAME is empty.

    Args:
        cfg: a config with this project's keys.
        loss: the loss of the model, which defines how probabilities and background are modelled.
        stage, num_stages: index and number of the stages of a cascade, for recorded counts.

    Raises:
        ConfigError: a value is invalid, the class counts are unknown, or the loss's scores cannot be calibrated.
    """
    node = cfg.MODEL.ROI_HEADS.CALIBRATION
    if not node.NAME:
        return None
    calibration = calibration_class(cfg, loss)
    statistics = calibration_statistics(cfg, calibration, loss.num_classes, stage, num_stages)
    arguments = {argument: lookup(node, key) for argument, key in calibration.config_keys.items()}
    try:
        return calibration.from_statistics(statistics, **arguments)
    except InvalidArgument as error:
        key = calibration.config_keys[error.name]
        raise ConfigError(f"{_NODE}.{key}: {error.problem}") from error


def check_calibration_config(cfg: Any) -> None:
    """Raise ConfigError if the model's loss, classifier or cascade does not allow MODEL.ROI_HEADS.CALIBRATION.NAME."""
    if cfg.MODEL.ROI_HEADS.CALIBRATION.NAME:
        calibration_class(cfg, build_loss(cfg, cfg.MODEL.ROI_HEADS.NUM_CLASSES))


def calibration_class(cfg: Any, loss: ClassificationLoss) -> type[Calibration]:
    """Return the class of MODEL.ROI_HEADS.CALIBRATION.NAME, which is not empty.

    Raises:
        ConfigError: there is none, or loss and classifier do not allow it.
    """
    name = cfg.MODEL.ROI_HEADS.CALIBRATION.NAME
    calibration = _registered(name)
    try:
        calibration.check(loss, cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME)
    except InvalidArgument as error:
        raise ConfigError(f"{_NODE}.NAME: {error.problem}") from error
    return calibration


def _registered(name: str) -> type[Calibration]:
    if name not in CALIBRATION_REGISTRY:
        names = sorted(name for name, _ in CALIBRATION_REGISTRY)
        hint = did_you_mean(near_names(str(name), names))
        raise ConfigError(f'{_NODE}.NAME: expected "" or one of {", ".join(names)}, found {name!r}{hint}')
    return CALIBRATION_REGISTRY.get(name)


def calibration_for(
    name: str, num_classes: int, datasets: Sequence[str] = (), counts: str = "dataset", **parameters: Any
) -> Calibration:
    """Build a calibration for the argument ``calibration`` of ``SeesawBoxPredictor``, for example in a LazyConfig.

    Args:
        name: in the registry.
        num_classes: C.
        datasets: registered training sets, whose classes are counted; see MODEL.ROI_HEADS.CALIBRATION.COUNTS.
        counts: "dataset", or a file with the counts; see MODEL.ROI_HEADS.CALIBRATION.COUNTS.
        parameters: keyword arguments of ``from_statistics`` of the class, such as gamma, tau or lambda_.

    Raises:
        ConfigError: an unknown name, or class counts are unknown. InvalidArgument: a parameter is out of range.
    """
    cfg = default_config()
    cfg.DATASETS.TRAIN = tuple(datasets)
    cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS = counts
    calibration = _registered(name)
    return calibration.from_statistics(calibration_statistics(cfg, calibration, num_classes), **parameters)
