"""Losses, classifiers and parameters that are compared: every loss of the registry that fits the model.

Shapes: C categories.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectron2.config import CfgNode

from seesaw_d2.errors import SeesawError
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.losses.build import LOSS_REGISTRY, backgrounds_for
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.utils.declared_keys import lookup

BOX_HEAD = "MODEL.ROI_BOX_HEAD"
CLASSIFIERS = {"Linear": "linear", "NormedLinear": "normalized"}
# Label of a calibration, see ``candidates.Candidate`` -> metric -> percent.
Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A loss with its hyperparameters, and a classifier.

    Attributes:
        loss: name in the registry.
        classifier: a key of ``CLASSIFIERS``.
        values: maps config keys below CLS_LOSS, such as "SEESAW.P", to values.
    """

    loss: str
    classifier: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> tuple[str, str]:
        """Loss and classifier, without the parameters."""
        return self.loss, self.classifier

    @property
    def name(self) -> str:
        """Return a name that is unique among the candidates of a comparison."""
        values = (f"{key.rpartition('.')[2]} {_short(value)}" for key, value in self.values.items())
        return ", ".join([self.loss, *values, CLASSIFIERS[self.classifier]])

    def overrides(self) -> dict[str, Any]:
        """Return config key -> value."""
        values = {f"{BOX_HEAD}.CLS_LOSS.{key}": value for key, value in self.values.items()}
        return {
            f"{BOX_HEAD}.CLS_LOSS.NAME": self.loss,
            f"{BOX_HEAD}.CLS_LOSS.BACKGROUND": "auto",
            **values,
            f"{BOX_HEAD}.CLS_PREDICTOR.NAME": self.classifier,
        }

    def config(self, cfg: CfgNode) -> CfgNode:
        """Return a copy of a config with this candidate."""
        found = cfg.clone()
        found.defrost()
        for key, value in self.overrides().items():
            node_key, _, leaf = key.rpartition(".")
            setattr(lookup(found, node_key), leaf, value)
        return found


@dataclass(frozen=True, eq=False)
class Trial:
    """One training. With ``fold`` None, all training images are used and the test images are reported."""

    candidate: Candidate
    seed: int
    fold: int | None

    @property
    def key(self) -> str:
        """Return a name that is unique in a comparison."""
        part = "test" if self.fold is None else f"fold {self.fold}"
        return f"{self.candidate.name}; seed {self.seed}; {part}"


def candidates_of(
    data: TrainingData, detector: bool, build: Callable[[Candidate], object], losses: Sequence[str] | None = None
) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates, and the names of those that cannot be built, with the reason.

    Args:
        data: counts of the training data.
        detector: whether the model is a detector, with background.
        build: builds the losses of a candidate, or raises SeesawError.
        losses: names in the registry. None: all.
    """
    found, refused = [], {}
    for name, loss_class in sorted(LOSS_REGISTRY):
        if losses is not None and name not in losses:
            continue
        for values in _settings(loss_class, data, detector):
            for classifier in CLASSIFIERS:
                candidate = Candidate(name, classifier, values)
                try:
                    build(candidate)
                    found.append(candidate)
                except SeesawError as error:
                    refused[candidate.name] = str(error)
    return found, refused


def _settings(loss_class: type[ClassificationLoss], data: TrainingData, detector: bool) -> list[dict[str, Any]]:
    """Return the combinations of the values that the loss compares and its ways to model background."""
    backgrounds = backgrounds_for(loss_class, detector)
    if "loss" in loss_class.config_keys:  # a wrapper has the background of the wrapped loss
        backgrounds = backgrounds[:1]
    compared = {loss_class.config_keys[name]: values for name, values in loss_class.compared_values(data).items()}
    if len(backgrounds) != 1:
        compared = {"BACKGROUND": backgrounds, **compared}
    return [dict(zip(compared, chosen, strict=True)) for chosen in itertools.product(*compared.values())]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
