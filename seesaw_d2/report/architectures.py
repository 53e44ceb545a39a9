"""List the config keys of the model's architecture in which the compared training runs differ."""

from collections.abc import Sequence
from typing import Any

from seesaw_d2.losses.build import LOSS_REGISTRY, backgrounds_for
from seesaw_d2.report.setting_differences import ARCHITECTURE, config_value, differing

_LOSS = "MODEL.ROI_BOX_HEAD.CLS_LOSS"
_BACKGROUND = f"{_LOSS}.BACKGROUND"
_CLASSIFIER = "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME"
# Detectron2's own ROI heads ignore the config keys CLS_LOSS and CLS_PREDICTOR. They always use a linear classifier with
# a background logit. Therefore the report shows this for them, and not the values in the config.
_PLAIN_HEADS = ("StandardROIHeads", "CascadeROIHeads", "Res5ROIHeads")


def architecture_differences(configs: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the config keys of the architecture whose values differ between the configs.

    Returns:
        a list of tuples (config key, list of its values as text, in the order of ``configs``). If CLS_LOSS.BACKGROUND
        is "auto", its value is how the loss represents background, such as "class" for a background logit.
    """
    return differing((key, [_value(config, key) for config in configs]) for key in ARCHITECTURE)


def _value(config: dict[str, Any], key: str) -> Any:
    if key in (_BACKGROUND, _CLASSIFIER) and _has_plain_heads(config):
        return "class" if key == _BACKGROUND else "Linear"
    return _background(config) if key == _BACKGROUND else config_value(config, key)


def _has_plain_heads(config: dict[str, Any]) -> bool:
    architecture = config_value(config, "MODEL.META_ARCHITECTURE") or "GeneralizedRCNN"
    heads = config_value(config, "MODEL.ROI_HEADS.NAME")
    return architecture in ("GeneralizedRCNN", "PanopticFPN") and heads in _PLAIN_HEADS


def _background(config: dict[str, Any]) -> Any:
    background, name = config_value(config, _BACKGROUND), config_value(config, f"{_LOSS}.NAME")
    if background != "auto" or name not in LOSS_REGISTRY:
        return background
    loss = LOSS_REGISTRY.get(name)
    wrapped = config_value(config, f"{_LOSS}.{loss.config_keys['loss']}") if "loss" in loss.config_keys else None
    if wrapped in LOSS_REGISTRY:
        loss = LOSS_REGISTRY.get(wrapped)
    detector = config_value(config, "MODEL.META_ARCHITECTURE") != "ImageClassifier"
    return next(iter(backgrounds_for(loss, detector)), background)
