"""Apply overrides such as ``train.max_iter=10`` to a LazyConfig. Reject unknown keys."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detectron2.config import LazyConfig
from detectron2.utils.registry import locate
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf

from seesaw_d2.errors import ConfigError
from seesaw_d2.suggestions import did_you_mean, key_suggestion


def apply_overrides(
    cfg: DictConfig, overrides: Sequence[str], optional: Sequence[str], yaml_names: Mapping[str, str]
) -> DictConfig:
    """Apply overrides to a LazyConfig, and return the new config.

    Detectron2 would add an unknown key without an error. This function accepts a key without ``+`` only if the key is
    in the config or in ``optional``, or is an argument of the function or class in ``_target_`` of the key's node.

    Args:
        cfg: the LazyConfig.
        overrides: overrides in Hydra's grammar, such as ``train.max_iter=10``. ``+key=value`` adds a key.
        optional: keys that are allowed although they may be missing in the config, such as "train.seed".
        yaml_names: a dict from YAML key to LazyConfig key. If the user writes a YAML key such as SOLVER.MAX_ITER, the
            error message suggests train.max_iter.

    Raises:
        ConfigError: an override is invalid, or its key is unknown. The message suggests the most similar known key.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        for each in parsed:
            if not (each.is_add() or each.is_force_add() or each.is_delete()):
                _check(cfg, each.key_or_group, optional, yaml_names)
                _check_number(cfg, each.key_or_group, each.value())
        return LazyConfig.apply_overrides(cfg, list(overrides))
    except ConfigError:
        raise
    except Exception as error:  # Hydra's parser has rejected the overrides
        raise ConfigError(
            f"overrides: expected KEY=VALUE in Hydra's grammar, found {' '.join(overrides)}. Hydra reports: {error}"
        ) from error


def _check(cfg: DictConfig, key: str, optional: Sequence[str], yaml_names: Mapping[str, str]) -> None:
    """Raise ConfigError if the key of an override is neither in the config nor in ``optional``.

    An argument of the function or class in ``_target_`` of the key's node is also allowed. ``yaml_names`` maps YAML
    keys to LazyConfig keys, for the suggestion in the message.
    """
    node, path = cfg, ""
    for part in key.split("."):
        if isinstance(node, ListConfig) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, DictConfig) and part in node.keys():  # noqa: SIM118 ("in node" resolves interpolations)
            node = node[part]
        elif isinstance(node, (DictConfig, ListConfig)):
            taken = _arguments(node)
            if key in optional or taken is None or part in taken:
                return
            known = [*_keys(cfg), *optional, *(f"{path}{name}" for name in taken)]
            hint = key_suggestion(key, [each for each in known if not key.startswith(f"{each}.")])
            if key in yaml_names:
                hint = did_you_mean([yaml_names[key]])
            raise ConfigError(f"overrides: unknown config key {key}{hint or '.'} To add a new key, use +{key}=VALUE")
        else:
            return  # a number or text has no keys, so LazyConfig.apply_overrides will raise an error
        path += f"{part}."


def _check_number(cfg: DictConfig, key: str, value: Any) -> None:
    """Raise ConfigError if an override ``key=value`` replaces a number or a boolean by another type of value.

    An integer and a float may replace each other, and None may replace any value.
    """
    known = OmegaConf.select(cfg, key, throw_on_resolution_failure=False, throw_on_missing=False)
    kind = type(known)
    taken = {bool: (bool,), int: (int, float), float: (int, float)}  # a float key may have the default 1, an int
    if kind not in taken or value is None or type(value) in taken[kind]:
        return
    raise ConfigError(
        f"overrides: {key}: expected a value of type {kind.__name__}, such as {known}, found {value} of type "
        f"{_name(value)}"
    )


def _name(value: Any) -> str:
    return "str" if isinstance(value, QuotedString) else type(value).__name__


def _arguments(node: DictConfig | ListConfig) -> set[str] | None:
    """Return the argument names of the function or class in a node's ``_target_``, or None if it accepts any name.

    Without ``_target_``, the node has no arguments, and the result is an empty set.
    """
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    if target is None:
        return set()
    target, names = locate(target) if isinstance(target, str) else target, set()
    # Assume that a class whose __init__ has **kwargs passes these arguments to the __init__ of its base class.
    classes = target.__mro__ if inspect.isclass(target) else ()
    for function in [vars(each)["__init__"] for each in classes if "__init__" in vars(each)] or [target]:
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):  # some built-in functions have no signature
            return None
        names.update(parameters)
        if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            return names - {"self"}
    return None


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the full keys of all nodes and values below ``node``, such as "model" and "model.roi_heads".

    In a full key, a list element is named by its index. ``prefix`` is the full key of ``node`` with a dot, or "".
    """
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=False)
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in pairs:
        yield f"{prefix}{name}"
        yield from _keys(value, f"{prefix}{name}.")
