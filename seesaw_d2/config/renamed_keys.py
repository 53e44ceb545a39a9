"""Accept old names of config keys for one minor version, with a warning (CONTRIBUTING.md, Releases)."""

import warnings
from typing import Any

from seesaw_d2.errors import ConfigError

# Maps the old name of each renamed key to the new name. Both names contain all parent nodes.
RENAMED_KEYS: dict[str, str] = {}


def new_key(key: str, source: str) -> str:
    """Return the current name of a config key such as "SOLVER.BASE_LR". Issue a FutureWarning for an old name.

    Args:
        key: old or current name with all parent nodes.
        source: file or command line with the key, for the warning.
    """
    if key not in RENAMED_KEYS:
        return key
    message = (
        f"{source}: {key} is deprecated and will be removed in the next minor version. Use {RENAMED_KEYS[key]} instead."
    )
    warnings.warn(message, FutureWarning, stacklevel=2)
    return RENAMED_KEYS[key]


def rename_keys(values: dict[str, Any], source: str) -> None:
    """Rename old keys to current keys in ``values``, the nested mapping of a YAML file, in place.

    Raises:
        ConfigError: the file contains both the old and the current name of a key.
    """
    for old in RENAMED_KEYS:
        found = _take(values, old.split("."))
        if found is None:
            continue
        *parents, name = new_key(old, source).split(".")
        node = values
        for parent in parents:
            node = node.setdefault(parent, {})
        if name in node:
            raise ConfigError(
                f"{source}: expected one of the keys {RENAMED_KEYS[old]} and {old}, found both keys. {old} is the old "
                f"name of {RENAMED_KEYS[old]}. Delete {old}."
            )
        node[name] = found


def _take(node: Any, names: list[str]) -> Any:
    """Remove a key and the parent nodes that become empty from a nested mapping. Return the value, or None."""
    if not isinstance(node, dict) or names[0] not in node:
        return None
    if len(names) == 1:
        return node.pop(names[0])
    found = _take(node[names[0]], names[1:])
    if found is not None and not node[names[0]]:
        del node[names[0]]
    return found
