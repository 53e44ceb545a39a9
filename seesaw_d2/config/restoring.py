"""Restore config values after defaults have replaced them."""

from collections.abc import Callable

from detectron2.config import CfgNode

from seesaw_d2.errors import ConfigError


def restore(cfg: CfgNode, before: CfgNode, node: str = "") -> None:
    """Set each key of ``cfg`` that is also in ``before`` to its value in ``before``, in place. Other keys are kept.

    Args:
        cfg: a config with defaults.
        before: the same config without the defaults.
        node: full name of the node that both are, for error messages. "" for the whole config.

    Raises:
        ConfigError: a key is a node in one of the configs, and a value in the other.
    """
    for name, value in before.items():
        key = f"{node}.{name}" if node else name
        if isinstance(value, CfgNode) != isinstance(cfg[name], CfgNode):
            expected, found = ("a value", "a node") if isinstance(value, CfgNode) else ("a node", repr(value))
            raise ConfigError(
                f"{key}: expected {expected}, as in seesaw_d2, found {found}, which another project has added to the "
                "config. The two projects cannot share a config."
            )
        if isinstance(value, CfgNode):
            restore(cfg[name], value, key)
        else:
            cfg[name] = value


def check_added(cfg: CfgNode, add: Callable[[CfgNode], None]) -> None:
    """Raise ConfigError unless a frozen config has all keys that ``add`` adds to a config."""
    complete = cfg.clone()
    complete.defrost()
    add(complete)
    if (key := _missing(cfg, complete)) is not None:
        raise ConfigError(
            f"{key}: expected this key of seesaw_d2 in a frozen config, found no such key. Call add_seesaw_config(cfg) "
            "before cfg.freeze()."
        )


def _missing(cfg: CfgNode, complete: CfgNode) -> str | None:
    """Return the full name of the first key of ``complete`` that ``cfg`` does not have, or None if it has all keys."""
    for name, value in complete.items():
        if name not in cfg:
            return name
        if isinstance(value, CfgNode) and (key := _missing(cfg[name], value)) is not None:
            return f"{name}.{key}"
    return None
