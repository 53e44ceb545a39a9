"""Declare the config keys that a class or function reads, in the attribute ``config_keys`` of the class or function.

A declaration is a full key such as "MODEL.MASK_ON", or a prefix followed by ``*``, which stands for all keys that begin
with the prefix. The check before training uses the declarations to find keys that no part of the model reads.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from seesaw_d2.errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Any])


def reads(*keys: str) -> Callable[[Function], Function]:
    """Return a decorator that declares the config keys that a function reads, such as ``@reads("MODEL.MASK_ON")``."""

    def declare(function: Function) -> Function:
        vars(function)["config_keys"] = keys
        return function

    return declare


def declared(component: Any, others: Mapping[str, tuple[str, ...]] | None = None) -> tuple[str, ...]:
    """Return the config keys that a function reads, or that a class and its base classes read.

    The keys are declared in the attribute ``config_keys``. A key that ends in ``*`` stands for all keys that begin with
    the text before it.

    Args:
        component: the class or function.
        others: keys of classes and functions without the attribute ``config_keys``, such as Detectron2's. A dict from
            their name to their keys.
    """
    found: list[str] = []
    for each in getattr(component, "__mro__", (component,)):
        found += vars(each).get("config_keys", (others or {}).get(each.__name__, ()))
    return tuple(found)


def covered(patterns: Iterable[str], key: str) -> bool:
    """Return whether a pattern is the config key ``key``, or matches it, as "MODEL.FPN.*" matches "MODEL.FPN.NORM"."""
    return any(each == key or (each.endswith("*") and key.startswith(each[:-1])) for each in patterns)


def lookup(node: Any, key: str) -> Any:
    """Return the attribute of ``node`` at a dotted key. For example, "A.B" stands for ``node.A.B``."""
    for part in key.split("."):
        node = getattr(node, part)
    return node


def added_value(cfg: Any, key: str) -> Any:
    """Return the value of a config key that ``add_seesaw_config`` has added.

    Raises:
        ConfigError: the config does not have the key, because the program did not call ``add_seesaw_config``.
    """
    try:
        return lookup(cfg, key)
    except AttributeError:
        raise ConfigError(
            f"{key}: the config does not have this key of seesaw_d2. Call seesaw_d2.add_seesaw_config(cfg) after "
            "get_cfg(), before you merge config files."
        ) from None
