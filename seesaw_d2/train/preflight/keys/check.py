"""Reject config keys that have no effect, because no component that the config selects reads these keys."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY

from seesaw_d2.config.loading import read_value
from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.building import own_keys
from seesaw_d2.train.preflight.keys.architecture_needs import architecture_needs
from seesaw_d2.train.preflight.keys.components import HEADS, component_needs, is_cascade, registry_of, undeclared
from seesaw_d2.train.preflight.keys.need import Need
from seesaw_d2.train.preflight.keys.options import option_needs
from seesaw_d2.train.preflight.keys.written import Layer
from seesaw_d2.utils.messages import first_few

EMPTY: tuple = ("", [], (), None)  # a key with one of these values is accepted, even if it has no effect


@dataclass(frozen=True)
class Unread:
    """A config key that has no effect, because the program does not read it with this config.

    Attributes:
        key: full config key.
        layer: the file or the command line that sets the key.
        need: the condition that the config does not meet. If it did, the program would read the key.
    """

    key: str
    layer: Layer
    need: Need


def check_written(cfg: CfgNode, layers: Sequence[Layer]) -> None:
    """Raise ConfigError if the user wrote a key that has no effect, because the program does not read the key.

    Often, the value of another key, called the choice, decides whether the program reads a key. For example, it reads
    INPUT.CROP.SIZE only if the choice INPUT.CROP.ENABLED is True. A strict choice, such as the ROI heads, selects the
    type of model.

    Keys on the command line must have an effect, even if the value is the default. In files, keys without effect are
    allowed in the four cases below. Keys with an empty list, an empty text or None as value are not checked.

    - The choice is not strict, and a later file or the command line has changed it. The file with its ``_BASE_``s, or a
      file derived from it, is a config that reads the key.
    - The choice is not strict, the file is a ``_BASE_``, and the key belongs to Detectron2 or is a preset for derived
      configs (``Need.preset``).
    - The file also sets the choice, and Detectron2's trainer ignores the choice and reads the key (``Need.beside``).
    - The file is a complete config that a run saved. With a strict choice, the key must have had no effect in that run.

    Args:
        cfg: the merged config of the layers. Keys of components that are not registered are not checked.
        layers: the keys that each file and the command line set, in the order in which they are merged.

    Raises:
        ConfigError: a key has no effect. The message lists such keys, the files that set them, and the required values
            of the choices.
    """
    _check_cascade(cfg, layers)
    found = list(unread_keys(cfg, layers))
    if found:
        listed = first_few(
            [
                f"{each.key} (set in {each.layer.source}; needs {each.need.key} {each.need.wanted}, found "
                f"{read_value(cfg, each.need.key)})"
                for each in found
            ]
        )
        raise ConfigError(f"these config keys have no effect: {listed}. Remove these keys, or set the needed values.")


def unread_keys(cfg: CfgNode, layers: Sequence[Layer]) -> Iterator[Unread]:
    """Yield the keys without effect that ``check_written`` rejects.

    Each key is reported for the command line or the last file that sets the key.

    Args:
        cfg: the merged config.
        layers: the keys that each file and the command line set, in the order in which they are merged.
    """
    ours = own_keys()
    last = {key: index for index, layer in enumerate(layers) for key in layer.values}
    for key, index in last.items():
        if need := _unread_by(cfg, key, index, layers, key in ours):
            yield Unread(key, layers[index], need)


def passed_over(cfg: CfgNode, layers: Sequence[Layer]) -> list[str]:
    """Return the keys of this project that the user wrote without effect, including those that are allowed in files.

    The function ignores keys in complete configs that a run saved, because the user did not write them.

    Args:
        cfg: the merged config.
        layers: the keys that each file and the command line set.
    """
    written = {key: value for layer in layers if not layer.is_dump for key, value in layer.values.items()}
    return [key for key, value in written.items() if key in own_keys() and value not in EMPTY and unmet_needs(cfg, key)]


def needs_of(key: str, *, ours: bool) -> list[Need]:
    """Return all conditions that a config must meet so that the program reads a key.

    Args:
        key: full config key.
        ours: whether the key, or the component that its value names, belongs to this project.
    """
    return [*architecture_needs(key, strict=ours), *component_needs(key), *option_needs(key)]


def unmet_needs(cfg: CfgNode, key: str) -> list[Need]:
    """Return the conditions that a config does not meet, but must meet so that the program reads a key.

    If the list is empty, the program reads the key.
    """
    ours = key in own_keys() or _names_ours(key, read_value(cfg, key))
    return [need for need in needs_of(key, ours=ours) if not need.met(cfg)]


def _unread_by(cfg: CfgNode, key: str, index: int, layers: Sequence[Layer], ours: bool) -> Need | None:
    """Return the condition that the config does not meet if ``check_written`` must reject a key. Otherwise return None.

    Args:
        cfg: the merged config of the layers.
        key: full config key.
        index: index of the last layer that sets the key.
        layers: the keys that each file and the command line set.
        ours: whether the key belongs to this project.
    """
    layer = layers[index]
    if key.startswith("MODEL.DOWNLOAD_") and any("://" in each.source for each in layers):
        return None  # these keys were used to download a _BASE_ file from a URL
    unmet = unmet_needs(cfg, key)
    if not unmet or layer.values[key] in EMPTY:
        return None
    if layer.merged is None:  # the command line, whose keys must always have an effect
        return unmet[0]
    unmet = [need for need in unmet if not (need.beside and need.key in layer.values)]
    strict = [need for need in unmet if need.strict]
    if layer.is_dump:
        return strict[0] if strict and _read_before(key, layers[index:]) else None
    if strict or not unmet:
        return strict[0] if strict else None
    ours = ours or _names_ours(key, read_value(cfg, key))
    if layer.is_base and (not ours or all(need.preset for need in unmet)):
        return None
    return None if _read_before(key, layers[index:]) else unmet[0]


def _read_before(key: str, layers: Sequence[Layer]) -> bool:
    """Return whether at least one of the files, together with its ``_BASE_``s, forms a config that reads the key."""
    configs = (layer.config for layer in layers if layer.merged is not None)
    return any(cfg is not None and not unmet_needs(cfg, key) for cfg in configs)


def _check_cascade(cfg: CfgNode, layers: Sequence[Layer]) -> None:
    """Raise ConfigError if a file selects cascade heads, but the merged config selects heads without a cascade."""
    name = cfg.MODEL.ROI_HEADS.NAME
    if name not in ROI_HEADS_REGISTRY or undeclared(ROI_HEADS_REGISTRY.get(name)) or is_cascade(name):
        return
    for layer in layers:
        if is_cascade(before := layer.values.get(HEADS)):
            hint = "SeesawCascadeROIHeads" if _names_ours(HEADS, name) else "CascadeROIHeads"
            raise ConfigError(
                f"{HEADS}: expected {hint}, found {name}. {layer.source} is a config of Cascade R-CNN ({HEADS} "
                f"{before}), but {name} is not a cascade."
            )


def _names_ours(key: str, value: object) -> bool:
    """Return whether the value of a key names a component of this project, such as the heads "SeesawROIHeads"."""
    registry = registry_of(key)
    return registry is not None and value in registry and registry.get(value).__module__.startswith("seesaw_d2.")
