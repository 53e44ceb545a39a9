"""Record in a checkpoint how a model computes scores, and compare the record with another model.

Weights fit every model with parameters of the same names and shapes. For example, weights that were trained with
temperature 20 also fit a classifier with temperature 40, which computes other scores.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.modeling.normalized_layers import NormedConv2d, NormedLinear
from seesaw_d2.utils.messages import first_few
from seesaw_d2.weights.safe_reading import SCORE_SETTINGS

_OTHER = "default settings or a module of another type"


def score_settings(model: nn.Module) -> dict[str, str]:
    """Return the settings of a model that change its scores but not the shapes of its parameters.

    Returns:
        dict from the name of a module in the model to a description. Examples of descriptions are ``"NormedLinear
        (temperature 20, power 1)"`` for a normalized layer and ``"SeesawLoss (background objectness)"`` for a
        classification loss. Attributes in a module's ``score_options``, such as the link function of IIF, are described
        only if they differ from their defaults. Modules of other types are not in the dict.
    """
    return {name: text for name, module in model.named_modules() if (text := _describe(module))}


def differing_settings(model: nn.Module, checkpoint: Mapping[str, Any]) -> str:
    """Return a description of the differences between the score settings of a model and of a checkpoint.

    Args:
        model: the model that loads the checkpoint.
        checkpoint: content of the checkpoint. Checkpoints of other programs have no record of the settings.

    Returns:
        text such as "roi_heads.box_predictor.cls_score: expected NormedLinear (temperature 20, power 1), found
        NormedLinear (temperature 40, power 1)", where "expected" describes the checkpoint and "found" the model. If
        nothing differs, or if the checkpoint has no record, the text is empty.
    """
    recorded = checkpoint.get(SCORE_SETTINGS)
    if not isinstance(recorded, Mapping):
        return ""
    own = score_settings(model)
    names = sorted(own.keys() | recorded.keys(), key=str)
    return first_few(
        [
            f"{name}: expected {recorded.get(name, _OTHER)}, found {own.get(name, _OTHER)}"
            for name in names
            if recorded.get(name) != own.get(name)
        ]
    )


def _describe(module: nn.Module) -> str:
    """Return the settings of one module that change scores, or "" for modules of other types."""
    kind = type(module).__name__
    if isinstance(module, (NormedLinear, NormedConv2d)):
        return f"{kind} (temperature {module.temperature:g}, power {module.power:g})"
    options = [
        f"{name} {value}"
        for name, default in getattr(module, "score_options", {}).items()
        if (value := getattr(module, name)) != default
    ]
    if isinstance(module, ClassificationLoss):
        options.insert(0, f"background {module.background}")
    return f"{kind} ({', '.join(options)})" if options else ""
