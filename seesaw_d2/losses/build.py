"""From a config to a loss: the registry, and the one place where the losses' config is read."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from fvcore.common.registry import Registry

from seesaw_d2.errors import ConfigError

from .base import ClassificationLoss, InvalidArgument
from .recorded_counts import RecordedCounts

LOSS_REGISTRY = Registry("CLASSIFICATION_LOSS")
LOSS_REGISTRY.__doc__ = "Classification losses by class name: subclasses of ClassificationLoss."

_NODE = "MODEL.ROI_BOX_HEAD.CLS_LOSS"


def build_loss(
    cfg: Any,
    num_classes: int,
    statistics: Callable[[], Any] | None = None,
    *,
    stage: int = 0,
    num_stages: int = 1,
    has_background: bool = True,
) -> ClassificationLoss:
    """The loss that MODEL.ROI_BOX_HEAD.CLS_LOSS describes.

    Args:
        cfg: a config with this project's keys.
        num_classes: C, foreground categories.
        statistics: gives the training set's category statistics when called: an object with
            ``instance_count``, int64 (C,). Called only by losses that need them. None: there are none.
        stage, num_stages: of a cascade, each with a loss of its own.
        has_background: False for image classification, which has no background: BACKGROUND must then be "none". A
            detector has background proposals, and "none" is refused.

    Raises:
        ConfigError: a value is wrong; the message names the key, what was expected and what was found.
    """
    node = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS
    names = [name for name, _ in LOSS_REGISTRY]
    if node.NAME not in names:
        raise ConfigError(f"{_NODE}.NAME: {_unknown(node.NAME, sorted(names))}")
    loss_class = LOSS_REGISTRY.get(node.NAME)
    kind = "a detector" if has_background else "an image classifier"
    backgrounds = [name for name in loss_class.backgrounds if (name != "none") == has_background]
    if not backgrounds:
        raise ConfigError(f"{_NODE}.NAME: expected a loss for {kind}, found {node.NAME!r}")
    if node.BACKGROUND not in backgrounds:
        problem = _unknown(node.BACKGROUND, backgrounds)
        raise ConfigError(f"{_NODE}.BACKGROUND: {problem} (for {node.NAME} in {kind})")
    try:
        arguments = loss_class.config_arguments(node, statistics)
        for name, value in arguments.items():
            if isinstance(value, RecordedCounts):
                arguments[name] = value.of_stage(stage, num_stages, num_classes)
        return loss_class(num_classes, background=node.BACKGROUND, **arguments)
    except InvalidArgument as error:
        key = loss_class.config_keys.get(error.name)
        if key is None:  # not from the config
            raise
        raise ConfigError(f"{_NODE}.{key}: expected {error.expected}, found {error.found!r}") from error


def _unknown(found: Any, choices: Iterable[str]) -> str:
    choices = list(choices)
    listed = ", ".join(f'"{choice}"' for choice in choices)
    nearest = difflib.get_close_matches(str(found), choices, n=1)
    hint = f'; did you mean "{nearest[0]}"?' if nearest else ""
    return f"expected one of {listed}, found {found!r}{hint}"
