"""The registry of calibrations, and ``build_calibration``, which builds one from a config."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from fvcore.common.registry import Registry
from torch import Tensor

from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument, lookup
from seesaw_d2.losses.cross_entropy import CrossEntropyLoss
from seesaw_d2.losses.recorded_counts import read_recorded_counts
from seesaw_d2.losses.sigmoid import SigmoidLoss
from seesaw_d2.modeling.calibration.base import Calibration
from seesaw_d2.modeling.calibration.fracal import FRACAL
from seesaw_d2.modeling.calibration.logit_adjustment import LogitAdjustment
from seesaw_d2.modeling.calibration.norcal import NorCal
from seesaw_d2.modeling.statistics_provider import training_fractal_dimensions, training_statistics
from seesaw_d2.suggestions import did_you_mean, near_names

CALIBRATION_REGISTRY = Registry("CALIBRATION")
CALIBRATION_REGISTRY.__doc__ = "Calibrations by class name: subclasses of Calibration."
for _each in (NorCal, FRACAL, LogitAdjustment):
    CALIBRATION_REGISTRY.register(_each)

_NODE = "MODEL.ROI_HEADS.CALIBRATION"


@dataclass(frozen=True)
class CalibrationStatistics:
    """Statistics of the training set, (C,) each."""

    image_count: Tensor
    instance_count: Tensor
    num_images: int
    fractal_dimensions: Callable[[], Tensor]


def build_calibration(cfg: Any, loss: ClassificationLoss, stage: int = 0, num_stages: int = 1) -> Calibration | None:
    """Build the calibration that MODEL.ROI_HEADS.CALIBRATION describes; None if its NAME is empty.

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
    if node.NAME not in CALIBRATION_REGISTRY:
        names = sorted(name for name, _ in CALIBRATION_REGISTRY)
        hint = did_you_mean(near_names(str(node.NAME), names))
        raise ConfigError(f'{_NODE}.NAME: expected "" or one of {", ".join(names)}, found {node.NAME!r}{hint}')
    _check_loss(loss, node.NAME)
    calibration = CALIBRATION_REGISTRY.get(node.NAME)
    statistics = _statistics(cfg, loss.num_classes, stage, num_stages)
    arguments = {argument: lookup(node, key) for argument, key in calibration.config_keys.items()}
    try:
        return calibration.from_statistics(statistics, **arguments)
    except InvalidArgument as error:
        key = calibration.config_keys[error.name]
        raise ConfigError(f"{_NODE}.{key}: expected {error.expected}, found {error.found!r}") from error


def _check_loss(loss: ClassificationLoss, name: str) -> None:
    """Refuse losses whose scores are neither one softmax nor independent sigmoids."""
    inner = getattr(loss, "loss", loss)
    softmax = isinstance(inner, CrossEntropyLoss) and loss.background in ("objectness", "class")
    sigmoids = isinstance(inner, SigmoidLoss) and loss.background == "implicit"
    if not softmax and not sigmoids:
        raise ConfigError(
            f"{_NODE}.NAME: expected a loss whose scores are one softmax, or sigmoids with background implicit, "
            f"found {name} with {type(inner).__name__}, background {loss.background}"
        )


def _statistics(cfg: Any, num_classes: int, stage: int, num_stages: int) -> CalibrationStatistics:
    def dimensions() -> Tensor:
        return torch.as_tensor(training_fractal_dimensions(cfg, num_classes))

    source = cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS
    if source != "dataset" and cfg.MODEL.ROI_HEADS.CALIBRATION.NAME != "FRACAL":
        counts = torch.tensor(read_recorded_counts(source).of_stage(stage, num_stages, num_classes)[:num_classes])
        return CalibrationStatistics(counts, counts, 0, dimensions)
    try:
        found = training_statistics(cfg)
    except SeesawError as error:
        hint = "the annotations of DATASETS.TRAIN, or the path of recorded class counts"
        raise ConfigError(f"{_NODE}.COUNTS: expected {hint}, found: {error}") from error
    if len(found.image_count) != num_classes:
        raise ConfigError(
            f"{_NODE}.COUNTS: expected counts of {num_classes} categories, found {len(found.image_count)}"
            " in DATASETS.TRAIN"
        )
    images, instances = torch.tensor(found.image_count), torch.tensor(found.instance_count)
    return CalibrationStatistics(images, instances, found.num_images, dimensions)
