"""Candidates of the choice: each calibration of the registry with each value of its parameter."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.config import CfgNode

from seesaw_d2.choosing.detecting import Scoring
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import InvalidArgument
from seesaw_d2.modeling.calibration.build import CALIBRATION_REGISTRY, calibration_class, calibration_statistics
from seesaw_d2.suggestions import did_you_mean, near_names

NONE = "none"
_NODE = "MODEL.ROI_HEADS.CALIBRATION"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A calibration with a value of its parameter.

    Attributes:
        name: name in the registry, or ``NONE``.
        key: config key of the parameter, "" for ``NONE``.
        value: value of the parameter.
        scoring: the model's losses with this calibration.
    """

    name: str
    key: str
    value: float
    scoring: Scoring

    @property
    def label(self) -> str:
        """Return the name with the value."""
        return f"{self.name} {self.value:g}" if self.key else self.name

    def overrides(self) -> list[str]:
        """Return config keys and values."""
        return [f"{_NODE}.NAME", self.name, self.key, f"{self.value:g}"] if self.key else [f"{_NODE}.NAME", ""]


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError if a name is not in the registry."""
    known = sorted(name for name, _ in CALIBRATION_REGISTRY)
    for name in names:
        if name not in known:
            hint = did_you_mean(near_names(name, known))
            raise ConfigError(f"--calibrations: expected some of {', '.join(known)}, found {name!r}{hint}")


def candidates_of(cfg: CfgNode, plain: Scoring, name: str, values: Sequence[float] | None = None) -> list[Candidate]:
    """Return a candidate for each value of a calibration.

    Args:
        cfg: config of the model. Its CALIBRATION.NAME is ignored.
        plain: the model's losses without a calibration.
        name: name in the registry.
        values: values of the parameter. None: ``grid`` of the calibration.

    Raises:
        ConfigError: the model does not support the calibration, class counts are unknown, or a value is out of range.
    """
    own = cfg.clone()
    own.defrost()
    own.MODEL.ROI_HEADS.CALIBRATION.NAME = name
    stages = len(plain.losses)
    kind = calibration_class(own, plain.losses[0])
    statistics = [
        calibration_statistics(own, loss.num_classes, stage, stages) for stage, loss in enumerate(plain.losses)
    ]
    ((argument, key),) = kind.config_keys.items()
    found = []
    for value in kind.grid if values is None else values:
        try:
            calibrations = [kind.from_statistics(each, **{argument: value}) for each in statistics]
        except InvalidArgument as error:
            raise ConfigError(f"--values: {name}: expected {error.expected}, found {error.found!r}") from error
        scoring = Scoring(plain.losses, calibrations, plain.classifiers)
        found.append(Candidate(name, f"{_NODE}.{key}", float(value), scoring))
    return found
