"""List the candidates of a loss comparison: losses that support a model, with hyperparameters and classifier types."""

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
# Metrics of one training in percent, such as {"none": {"AP": 25.3}}. The outer keys are labels of calibrations, such as
# "NorCal 0.6", or "none" for the scores without calibration.
Metrics = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One candidate of a loss comparison: a loss with hyperparameters, and a type of classifier.

    Attributes:
        loss: name of the loss, such as "SeesawLoss".
        classifier: type of the classifier, "Linear" or "NormedLinear".
        values: dict from config key below MODEL.ROI_BOX_HEAD.CLS_LOSS, such as "SEESAW.P", to value.
    """

    loss: str
    classifier: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> tuple[str, str]:
        """Return the method: loss name and classifier type. Its candidates differ only in hyperparameters."""
        return self.loss, self.classifier

    @property
    def name(self) -> str:
        """Return a name that is unique in a comparison, such as "SeesawLoss, P 0.8, normalized"."""
        texts = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in self.values.items()}
        values = (f"{key.rpartition('.')[2]} {text}" for key, text in texts.items())
        return ", ".join([self.loss, *values, CLASSIFIERS[self.classifier]])

    def overrides(self) -> dict[str, Any]:
        """Return the config overrides that select this candidate, a dict from config key to value."""
        values = {f"{BOX_HEAD}.CLS_LOSS.{key}": value for key, value in self.values.items()}
        return {
            f"{BOX_HEAD}.CLS_LOSS.NAME": self.loss,
            f"{BOX_HEAD}.CLS_LOSS.BACKGROUND": "auto",
            **values,
            f"{BOX_HEAD}.CLS_PREDICTOR.NAME": self.classifier,
        }

    def config(self, cfg: CfgNode) -> CfgNode:
        """Return a copy of a config with the loss, hyperparameters and classifier of this candidate."""
        found = cfg.clone()
        found.defrost()
        for key, value in self.overrides().items():
            node_key, _, leaf = key.rpartition(".")
            setattr(lookup(found, node_key), leaf, value)
        return found


@dataclass(frozen=True, eq=False)
class Trial:
    """One training with a loss in a comparison of losses.

    Attributes:
        candidate: the loss with its hyperparameters, and the type of classifier to train.
        seed: seed of the training.
        fold: fold of the training images to hold out and evaluate. If None, the trial trains on all training images and
            evaluates the test images.
    """

    candidate: Candidate
    seed: int
    fold: int | None

    @property
    def key(self) -> str:
        """Return a name that is unique among the trainings of a comparison, to find its metrics in a file."""
        part = "test" if self.fold is None else f"fold {self.fold}"
        return f"{self.candidate.name}; seed {self.seed}; {part}"


def candidates_of(
    data: TrainingData, detector: bool, build: Callable[[Candidate], object], losses: Sequence[str] | None = None
) -> tuple[list[Candidate], dict[str, str]]:
    """List the combinations of loss, hyperparameters and type of classifier (candidates) to compare for a model.

    Args:
        data: properties of the training data. Losses select the hyperparameter values to compare with them.
        detector: whether the model is a detector, whose loss models background. If False, the model is an image
            classifier.
        build: function that builds the loss of a candidate. It raises SeesawError if the model is not supported.
        losses: names of the losses to compare, such as "SeesawLoss". Default: all losses.

    Returns:
        a list of the candidates that ``build`` accepts, and a dict from the name of each other candidate to the error
        message of ``build``.
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
    """Return all combinations of the hyperparameter values of a loss and its ways to model background.

    Args:
        loss_class: the loss.
        data: properties of the training data, with which the loss selects the values to compare.
        detector: whether the model is a detector. If False, the model is an image classifier, without background.

    Returns:
        a list of dicts from config key below MODEL.ROI_BOX_HEAD.CLS_LOSS, such as "SEESAW.P", to value.
    """
    backgrounds = backgrounds_for(loss_class, detector)
    if "loss" in loss_class.config_keys:  # a loss with this key wraps another loss, which models background
        backgrounds = backgrounds[:1]
    compared = {loss_class.config_keys[name]: values for name, values in loss_class.compared_values(data).items()}
    if len(backgrounds) != 1:
        compared = {"BACKGROUND": backgrounds, **compared}
    return [dict(zip(compared, chosen, strict=True)) for chosen in itertools.product(*compared.values())]
