"""Accept old names of renamed config keys for one minor version, with a warning (CONTRIBUTING.md, Releases)."""

import warnings
from typing import Any

from seesaw_d2.errors import ConfigError

# Maps the old name of each renamed config key to its new name. Both are full names, such as "SOLVER.BASE_LR".
RENAMED_KEYS: dict[str, str] = {}


def new_key(key: str, source: str) -> str:
    """Return the current name of a config key. If ``key`` is an old name, issue a FutureWarning.

    Args:
        key: old or current full name of the key, such as "SOLVER.BASE_LR".
        source: path of the file that contains the key, or "command line". The warning begins with this text.
    """
    if key not in RENAMED_KEYS:
        return key
    message = (
        f"{source}: {key} is deprecated and will be removed in the next minor version. Use {RENAMED_KEYS[key]} instead."
    )
    warnings.warn(message, FutureWarning, stacklevel=2)
    return RENAMED_KEYS[key]


def rename_keys(values: dict[str, Any], source: str) -> None:
    """Replace old names of config keys by the current names in the content of a YAML file, in place.

    Args:
        values: content of the file, a nested dict.
        source: path of the file, for warnings and errors.

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
    """Remove a key, and the parent nodes that become empty, from a nested dict, in place.

    Args:
        node: the nested dict.
        names: names of the parent nodes and of the key, such as ["SOLVER", "BASE_LR"].

    Returns:
        the value of the key, or None if the dict does not contain the key.
    """
    if not isinstance(node, dict) or names[0] not in node:
        return None
    if len(names) == 1:
        return node.pop(names[0])
    found = _take(node[names[0]], names[1:])
    if found is not None and not node[names[0]]:
        del node[names[0]]
    return found
