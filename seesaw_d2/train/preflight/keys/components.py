"""Define the config keys that only certain losses, heads, mask heads, backbones and samplers read.

The attribute ``config_keys`` of a component declares the keys that the component reads. Keys of losses are relative to
MODEL.ROI_BOX_HEAD.CLS_LOSS, and keys of other components are full keys. ``SAMPLER_KEYS`` declares the keys of samplers.
A component of another package may read any key if it declares no keys.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from detectron2.config import CfgNode
from detectron2.modeling import (
    BACKBONE_REGISTRY,
    META_ARCH_REGISTRY,
    ROI_HEADS_REGISTRY,
    SEM_SEG_HEADS_REGISTRY,
    GeneralizedRCNN,
)
from detectron2.modeling.roi_heads import ROI_MASK_HEAD_REGISTRY, CascadeROIHeads
from fvcore.common.registry import Registry

from seesaw_d2.config.loading import read_value
from seesaw_d2.data.images.semantic_mapper import has_semantic_head
from seesaw_d2.data.sampling.repeat_factors import SAMPLER_KEYS
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.train.preflight.keys.need import Need
from seesaw_d2.utils.declared_keys import covered, declared

HEADS = "MODEL.ROI_HEADS.NAME"
_NODE = "MODEL.ROI_BOX_HEAD.CLS_LOSS"
# Maps Detectron2's components, such as ROI heads and backbones, to the config keys that they read. Keys that all
# components of the same type read, such as all ROI heads, are omitted.
_DETECTRON2: dict[str, tuple[str, ...]] = {
    "StandardROIHeads": (),
    "Res5ROIHeads": (),
    "CascadeROIHeads": ("MODEL.ROI_BOX_CASCADE_HEAD.IOUS", "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS"),
    "build_resnet_backbone": ("MODEL.RESNETS.*", "MODEL.BACKBONE.FREEZE_AT"),
    "build_resnet_fpn_backbone": ("MODEL.RESNETS.*", "MODEL.FPN.*", "MODEL.BACKBONE.FREEZE_AT"),
    "build_retinanet_resnet_fpn_backbone": ("MODEL.RESNETS.*", "MODEL.FPN.*", "MODEL.BACKBONE.FREEZE_AT"),
    "MaskRCNNConvUpsampleHead": (),
}
# Maps each config key that selects a component to a pair: the registry of its values, and a bool. If True, even a key
# that a ``_BASE_`` file sets must have an effect with the selected component (``Need.strict``).
_REGISTRIES: dict[str, tuple[Registry, bool]] = {
    HEADS: (ROI_HEADS_REGISTRY, True),
    "MODEL.ROI_MASK_HEAD.NAME": (ROI_MASK_HEAD_REGISTRY, False),
    "MODEL.BACKBONE.NAME": (BACKBONE_REGISTRY, False),
}


def component_needs(key: str) -> Iterator[Need]:
    """Yield the conditions under which components, such as losses and ROI heads, read a config key.

    The function yields a condition for each type of component of which at least one declares the key. For example, the
    program reads a key of Seesaw Loss only if the config selects this loss.
    """
    for choice, (registry, strict) in _REGISTRIES.items():
        if readers := [name for name, each in registry if covered(declared(each, _DETECTRON2), key)]:
            yield Need(choice, " or ".join(readers), _reads(registry, choice, key), strict=strict)
    if heads := [name for name, each in SEM_SEG_HEADS_REGISTRY if covered(declared(each), key)]:
        yield Need("MODEL.SEM_SEG_HEAD.NAME", " or ".join(heads), lambda cfg: _semantic_reads(cfg, key), strict=True)
    if key == "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES":
        yield Need(HEADS, "heads without a cascade", lambda cfg: not is_cascade(cfg.MODEL.ROI_HEADS.NAME))
    if losses := [name for name, each in LOSS_REGISTRY if key in _loss_keys(each)]:
        wrapped = any(LOSS_REGISTRY.get(name).soft_labels for name in losses)
        names = " or ".join(losses) + (f", or a loss that wraps it ({_NODE}.PCB.LOSS)" if wrapped else "")
        yield Need(f"{_NODE}.NAME", names, lambda cfg: _loss_reads(cfg, key))
    if samplers := [name for name, keys in SAMPLER_KEYS.items() if key in keys]:
        choice = "DATALOADER.SAMPLER_TRAIN"
        yield Need(choice, " or ".join(samplers), lambda cfg: cfg.DATALOADER.SAMPLER_TRAIN in samplers, preset=True)


def has_heads(cfg: CfgNode) -> bool:
    """Return whether the meta-architecture has ROI heads. Return True for meta-architectures of other packages."""
    name = cfg.MODEL.META_ARCHITECTURE
    if name not in META_ARCH_REGISTRY or foreign(META_ARCH_REGISTRY.get(name)):
        return True
    return issubclass(META_ARCH_REGISTRY.get(name), GeneralizedRCNN)


def registry_of(key: str) -> Registry | None:
    """Return the registry of the component that a key selects, or None if the key selects no component."""
    return _REGISTRIES[key][0] if key in _REGISTRIES else None


def undeclared(component: Any) -> bool:
    """Return True if the keys that a component reads are unknown, because it does not declare them."""
    known = component.__name__ in _DETECTRON2 if package_of(component) == "detectron2" else not foreign(component)
    return not known and "config_keys" not in vars(component)


def foreign(component: Any) -> bool:
    """Return whether a component, a class or function, belongs to neither Detectron2 nor this project."""
    return package_of(component) not in ("detectron2", "seesaw_d2")


def package_of(component: Any) -> str:
    """Return the name of the top-level package of a class or function."""
    return component.__module__.partition(".")[0]


def _reads(registry: Registry, choice: str, key: str):
    def met(cfg: CfgNode) -> bool:
        name = read_value(cfg, choice)
        if name not in registry or (choice == HEADS and not has_heads(cfg)):
            return True  # other checks reject unknown names and keys of ROI heads in models without heads
        if choice == HEADS and has_semantic_head(cfg) and covered(_semantic_keys(cfg), key):
            return True  # PanopticFPN's semantic segmentation head reads the key
        component = registry.get(name)
        return undeclared(component) or covered(declared(component, _DETECTRON2), key)

    return met


def _semantic_reads(cfg: CfgNode, key: str) -> bool:
    """Return whether the semantic segmentation head of a model without ROI heads reads a key.

    Also return True for other models, because other conditions cover them.
    """
    name = cfg.MODEL.SEM_SEG_HEAD.NAME
    if has_heads(cfg) or not has_semantic_head(cfg) or name not in SEM_SEG_HEADS_REGISTRY:
        return True
    return foreign(SEM_SEG_HEADS_REGISTRY.get(name)) or covered(_semantic_keys(cfg), key)


def is_cascade(name: object) -> bool:
    """Return whether a value of MODEL.ROI_HEADS.NAME selects a cascade."""
    return name in ROI_HEADS_REGISTRY and issubclass(ROI_HEADS_REGISTRY.get(name), CascadeROIHeads)


def _semantic_keys(cfg: CfgNode) -> tuple[str, ...]:
    name = cfg.MODEL.SEM_SEG_HEAD.NAME
    return declared(SEM_SEG_HEADS_REGISTRY.get(name)) if name in SEM_SEG_HEADS_REGISTRY else ()


def _loss_keys(loss_class: Any) -> Iterable[str]:
    """Return the full config keys that a loss declares."""
    return [f"{_NODE}.{key}" for key in (*loss_class.config_keys.values(), *loss_class.schedule_keys)]


def _loss_reads(cfg: CfgNode, key: str) -> bool:
    """Return whether the loss that a config selects, or another loss that this loss wraps, reads a key."""
    choice = f"{_NODE}.NAME"
    while (name := read_value(cfg, choice)) in LOSS_REGISTRY:
        loss_class = LOSS_REGISTRY.get(name)
        if undeclared(loss_class) or key in _loss_keys(loss_class):
            return True
        inner = loss_class.config_keys.get("loss")
        if inner is None or choice == f"{_NODE}.{inner}":
            return False
        choice = f"{_NODE}.{inner}"
    return True  # another check rejects the unknown name of the loss
