"""Define the registry of calibrations, and build calibrations from configs or arguments."""

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

CALIBRATION_REGISTRY = Registry("CALIBRATION", Calibration)
CALIBRATION_REGISTRY.__doc__ = "Maps the names of calibrations to subclasses of Calibration."
for _each in (NorCal, FRACAL, LogitAdjustment, TauNormalization):
    CALIBRATION_REGISTRY.register(_each)

_NODE = "MODEL.ROI_HEADS.CALIBRATION"


def build_calibration(cfg: Any, loss: ClassificationLoss, stage: int = 0, num_stages: int = 1) -> Calibration | None:
    """Build the calibration that MODEL.ROI_HEADS.CALIBRATION describes. Return None if its NAME is empty.

    Args:
        cfg: a config with this project's keys.
        loss: the loss of the model.
        stage, num_stages: index of the cascade stage, from 0, and number of stages. If the key COUNTS is a JSON file
            with class counts for each stage, these arguments select the counts.

    Raises:
        ConfigError: a value is invalid, the class counts are unknown, or the calibration does not support the loss or
            the classifier.
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
    """Raise ConfigError if MODEL.ROI_HEADS.CALIBRATION.NAME is unknown or does not support the loss or classifier."""
    if not cfg.MODEL.ROI_HEADS.CALIBRATION.NAME:
        return
    own = cfg.clone()
    own.defrost()
    # The class counts do not matter here. Those of the config can need the training set or the number of stages.
    own.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS = "online"
    calibration_class(cfg, build_loss(own, cfg.MODEL.ROI_HEADS.NUM_CLASSES))


def calibration_class(cfg: Any, loss: ClassificationLoss) -> type[Calibration]:
    """Return the calibration class that MODEL.ROI_HEADS.CALIBRATION.NAME names. The name must not be empty.

    Raises:
        ConfigError: the name is unknown, or the calibration does not support the loss or the classifier.
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
    """Build a calibration without a config, for the argument ``calibration`` of ``SeesawBoxPredictor`` in a LazyConfig.

    Args:
        name: name of the calibration in ``CALIBRATION_REGISTRY``.
        num_classes: number of categories C.
        datasets: names of the registered training sets whose instances are counted if ``counts`` is "dataset".
        counts: "dataset" or the path of a file with class counts, as in MODEL.ROI_HEADS.CALIBRATION.COUNTS.
        parameters: keyword arguments of the calibration's ``from_statistics``, such as gamma, tau or lambda_.

    Raises:
        ConfigError: the name or the class counts are unknown.
        InvalidArgument: a parameter is out of range.
    """
    cfg = default_config()
    cfg.DATASETS.TRAIN = tuple(datasets)
    cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS = counts
    calibration = _registered(name)
    return calibration.from_statistics(calibration_statistics(cfg, calibration, num_classes), **parameters)
