"""Define the registry of losses, and build losses from configs."""

import os
from collections.abc import Callable
from typing import Any

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument
from seesaw_d2.losses.category_statistics import checked_statistics, statistics_arguments
from seesaw_d2.losses.recorded_counts import RecordedCounts
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.declared_keys import lookup
from seesaw_d2.utils.registry import Registry

LOSS_REGISTRY = Registry("CLASSIFICATION_LOSS", ClassificationLoss)
LOSS_REGISTRY.__doc__ = "Maps the names of classification losses to subclasses of ClassificationLoss."

_NODE, _DETECTOR = "MODEL.ROI_BOX_HEAD.CLS_LOSS", "a detector"


def build_loss(
    cfg: Any,
    num_classes: int,
    statistics: Callable[[], Any] | None = None,
    *,
    stage: int = 0,
    num_stages: int = 1,
    has_background: bool = True,
) -> ClassificationLoss:
    """Build the loss that MODEL.ROI_BOX_HEAD.CLS_LOSS describes.

    Args:
        cfg: a config with this project's keys.
        num_classes: number C of foreground categories.
        statistics: function that returns the statistics of the training set, an object with ``image_count`` and
            ``instance_count``, int64 (C,), ``num_images`` and ``num_annotated_images``. The function is called only for
            losses that need statistics. If None, the training set is unavailable.
        stage, num_stages: index of the cascade stage, from 0, and number of stages. If SEESAW.CLASS_COUNTS is a JSON
            file with class counts for each stage, these arguments select the counts.
        has_background: whether the model is a detector, whose loss must model background. If False, the model is an
            image classifier, whose loss must have background "none".

    Raises:
        ConfigError: a value is invalid, or the training set has another number of categories than the model. The
            message names the key, the expected value and the found value.
    """
    node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS
    statistics = checked_statistics(statistics, num_classes)

    def arguments_of(loss_class: type[ClassificationLoss]) -> dict[str, Any]:
        arguments = loss_class.config_arguments(node, statistics)
        arguments |= statistics_arguments(loss_class.statistics_keys, statistics)
        recorded = {name: value for name, value in arguments.items() if isinstance(value, RecordedCounts)}
        counts = {name: value.of_stage(stage, num_stages, num_classes) for name, value in recorded.items()}
        return {**arguments, **counts}

    kind = _DETECTOR if has_background else "an image classifier"
    names = [name for name, loss in LOSS_REGISTRY if backgrounds_for(loss, has_background)]
    return _build(node, "NAME", names, num_classes, arguments_of, kind)


def check_loss_config(cfg: Any, num_classes: int, *, has_background: bool = True) -> None:
    """Raise ConfigError if a name or a number in MODEL.ROI_BOX_HEAD.CLS_LOSS is invalid, without reading any data.

    Errors that depend on the training set or on recorded class counts are raised only by ``build_loss``.

    Args:
        cfg, num_classes, has_background: as in ``build_loss``.
    """
    own = cfg.clone()
    own.defrost()
    seesaw = own.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW
    if seesaw.CLASS_COUNTS == "dataset" or os.path.isfile(seesaw.CLASS_COUNTS):
        seesaw.CLASS_COUNTS = "online"  # do not read the training set or the file
    try:
        build_loss(own, num_classes, has_background=has_background)
    except ConfigError:
        raise
    except Exception:  # a loss of the user may need the training set
        return


def backgrounds_for(loss_class: type[ClassificationLoss], detector: bool) -> list[str]:
    """Return the values of ``background`` that a loss supports in a detector (True) or an image classifier (False)."""
    return [name for name in loss_class.backgrounds if (name != "none") == detector]


def _build(node, name_key: str, names: list[str], num_classes: int, arguments_of, kind: str) -> ClassificationLoss:
    """Build the loss whose name is the value of the config key ``name_key``.

    Args:
        node: the config node MODEL.ROI_BOX_HEAD.CLS_LOSS.
        name_key: key of the name below ``node``.
        names: valid names. Other names raise ConfigError.
        num_classes: number of categories C.
        arguments_of: function that returns the constructor arguments of a loss class from the config.
        kind: "a detector" or "an image classifier". Image classifiers need background "none".
    """
    name = lookup(node, name_key)
    if name not in names:
        raise ConfigError(f"{_NODE}.{name_key}: {_unknown(name, sorted(names), kind)}")
    loss_class = LOSS_REGISTRY.get(name)
    backgrounds = backgrounds_for(loss_class, kind == _DETECTOR)
    background = backgrounds[0] if node.BACKGROUND == "auto" else node.BACKGROUND
    if background not in backgrounds:
        problem = _unknown(background, ["auto", *backgrounds], f"{name} in {kind}")
        raise ConfigError(f"{_NODE}.BACKGROUND: {problem}")
    try:
        arguments = arguments_of(loss_class)
        if "loss" in loss_class.config_keys:  # PairwiseClassBalance wraps another loss, which the same node defines
            soft = [(name, other) for name, other in LOSS_REGISTRY if other.soft_labels]
            inner = [name for name, other in soft if backgrounds_for(other, kind == _DETECTOR)]
            arguments["loss"] = _build(node, loss_class.config_keys["loss"], inner, num_classes, arguments_of, kind)
            background = arguments["loss"].background
        return loss_class(num_classes, background=background, **arguments)
    except InvalidArgument as error:
        key = loss_class.config_keys.get(error.name)
        if key is None:  # no config key sets this argument, so the message cannot name a key
            raise
        raise ConfigError(f"{_NODE}.{key}: {error.problem}") from error


def _unknown(found: Any, choices: list[str], user: str) -> str:
    listed = ", ".join(f'"{choice}"' for choice in choices)
    hint = did_you_mean(f'"{each}"' for each in near_names(str(found), choices))
    return f"expected one of {listed} for {user}, found {found!r}{hint}"
