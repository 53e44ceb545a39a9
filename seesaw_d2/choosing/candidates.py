"""List the calibrations (rescalings of class scores) to try: each class with each value of its parameter grid."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.config import CfgNode

from seesaw_d2.choosing.detecting import Scoring
from seesaw_d2.config.loading import default_config
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import InvalidArgument
from seesaw_d2.modeling.calibration.build import CALIBRATION_REGISTRY, calibration_class
from seesaw_d2.modeling.calibration.statistics import calibration_statistics
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.declared_keys import lookup
from seesaw_d2.utils.messages import exact
from seesaw_d2.utils.registry import Registry

NONE = "none"
_NODE = "MODEL.ROI_HEADS.CALIBRATION"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A calibration (rescaling of class scores) with one value of its parameter, or the scores without calibration.

    Attributes:
        name: name of the calibration, such as "NorCal", or ``NONE`` for scores without calibration.
        key: config key of the parameter, such as "MODEL.ROI_HEADS.CALIBRATION.GAMMA", or "" for ``NONE``.
        value: value of the parameter, 0 for ``NONE``.
        scoring: function that computes calibrated scores from logits.
    """

    name: str
    key: str
    value: float
    scoring: Scoring

    @property
    def label(self) -> str:
        """Return text that identifies the candidate: name and parameter value, such as "NorCal 0.6", or "none"."""
        return f"{self.name} {exact(self.value)}" if self.key else self.name


def calibrated_variants(cfg: CfgNode, names: Sequence[str], plain: Scoring) -> dict[str, Scoring]:
    """Add calibrations to a function that computes scores from logits (``Scoring``).

    To save time, only every third value of each calibration's parameter grid is used, beginning with the second.

    Args:
        cfg: config with the loss and the classifier of ``plain``.
        names: names of calibrations, such as "NorCal". Calibrations that the loss does not support are skipped.
        plain: the function without a calibration.

    Returns:
        a dict from name and parameter value of a calibration, such as "NorCal 0.6", to the calibrated function.
    """
    found = {}
    for name in names:
        with contextlib.suppress(ConfigError):
            values = CALIBRATION_REGISTRY.get(name).tried(lookup(cfg, _NODE))[1][1::3]
            found.update({each.label: each.scoring for each in candidates_of(cfg, plain, name, values)})
    return found


def overrides_of(cfg: CfgNode, label: str) -> list[str]:
    """Return the config overrides KEY, VALUE, ... that select a calibration and the value of its parameter.

    Args:
        cfg: config of the model. If it sets other keys of this calibration to non-default values, the overrides also
            contain these keys.
        label: name and parameter value of the calibration, such as "NorCal 0.6", or "none" (see ``Candidate.label``).
    """
    name, _, value = label.partition(" ")
    if name == NONE:
        return [f"{_NODE}.NAME", ""]
    kind = CALIBRATION_REGISTRY.get(name)
    node, default = lookup(cfg, _NODE), lookup(default_config(), _NODE)
    argument, _ = kind.tried(node)
    keys = [*kind.config_keys.values(), *(["COUNTS"] if kind.needs_counts else [])]
    changed = {key: lookup(node, key) for key in keys if lookup(node, key) != lookup(default, key)}
    found = {"NAME": name, **changed, kind.config_keys[argument]: value}
    return [text for key, each in found.items() for text in (f"{_NODE}.{key}", str(each))]


def check_names(option: str, names: Sequence[str], registry: Registry = CALIBRATION_REGISTRY) -> None:
    """Raise ConfigError if a name of a loss or calibration is not in its registry.

    Args:
        option: command-line option with the names, such as "--losses", for the message.
        names: the names to check.
        registry: registry of losses or calibrations.
    """
    known = sorted(name for name, _ in registry)
    for name in names:
        if name not in known:
            hint = did_you_mean(near_names(name, known))
            raise ConfigError(f"{option}: expected names from the list {', '.join(known)}, found {name!r}{hint}")


def candidates_of(cfg: CfgNode, plain: Scoring, name: str, values: Sequence[float] | None = None) -> list[Candidate]:
    """Return one ``Candidate`` for each value of a calibration's parameter.

    Args:
        cfg: config of the model. ``name`` replaces the value of MODEL.ROI_HEADS.CALIBRATION.NAME, and ``values``
            replace the value of the parameter. The other keys of MODEL.ROI_HEADS.CALIBRATION apply.
        plain: function that computes the model's scores from its logits, without a calibration.
        name: name of the calibration, such as "NorCal".
        values: values of the parameter. Default: the grid that ``Calibration.tried`` returns.

    Raises:
        ConfigError: the model does not support the calibration, class counts are unknown, or a value is out of range.
    """
    own = cfg.clone()
    own.defrost()
    own.MODEL.ROI_HEADS.CALIBRATION.NAME = name
    stages = len(plain.losses)
    kind = calibration_class(own, plain.losses[0])
    statistics = [
        calibration_statistics(own, kind, loss.num_classes, stage, stages) for stage, loss in enumerate(plain.losses)
    ]
    node = lookup(own, _NODE)
    argument, grid = kind.tried(node)
    arguments = {each: lookup(node, key) for each, key in kind.config_keys.items()}
    found = []
    for value in grid if values is None else values:
        try:
            calibrations = [kind.from_statistics(each, **{**arguments, argument: value}) for each in statistics]
        except InvalidArgument as error:
            where = f"--values: {name}" if error.name == argument else f"{_NODE}.{kind.config_keys[error.name]}"
            raise ConfigError(f"{where}: {error.problem}") from error
        scoring = Scoring(plain.losses, calibrations, plain.classifiers)
        found.append(Candidate(name, f"{_NODE}.{kind.config_keys[argument]}", float(value), scoring))
    return found
