"""Load config files and command-line overrides. The error for an unknown key suggests the most similar known key."""

import ast
import math
import re
from collections.abc import Sequence
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg

from seesaw_d2.arguments import check_pairs
from seesaw_d2.config import add_seesaw_config
from seesaw_d2.config.renamed_keys import new_key, rename_keys
from seesaw_d2.config.yaml_files import PlainConfig
from seesaw_d2.config_files import find_config_file
from seesaw_d2.errors import ConfigError
from seesaw_d2.suggestions import key_suggestion
from seesaw_d2.utils.messages import json_type, reason
from seesaw_d2.utils.plain_values import encodable, plain_problem


def load_config(config_file: str = "", overrides=()) -> CfgNode:
    """Return the default config, updated by a YAML file (with its ``_BASE_`` files) and then by overrides.

    Args:
        config_file: path of a YAML file, or a name in ``seesaw_d2.model_zoo``. If empty, only the overrides apply.
        overrides: list of keys and values, [KEY, VALUE, KEY, VALUE, ...], as on the command line.

    Returns:
        the config, which is not frozen.

    Raises:
        ConfigError: a file is missing or not YAML, a key is unknown, a value has a wrong type, or a value in SOLVER is
            not finite.
    """
    cfg = default_config()
    overrides = list(overrides or [])
    if config_file:
        path = find_config_file(config_file)
        merge_file(cfg, _read(path, overrides), path)
    if unreadable := [word for word in overrides if isinstance(word, str) and not encodable(word)]:
        raise ConfigError(f"command line: expected text in UTF-8, found other bytes in {ascii(unreadable[0])[:80]}")
    check_pairs(config_file, overrides)
    pairs = zip(overrides[::2], overrides[1::2], strict=True)
    words = []
    for given, value in pairs:
        key = new_key(str(given), "command line")
        *nodes, _ = key.split(".")
        node = read_value(cfg, ".".join(nodes)) if nodes else cfg
        if not isinstance(node, CfgNode):  # the error of yacs would not name the key
            raise ConfigError(f"command line: unknown config key {key}{key_suggestion(key, config_keys(cfg))}")
        _refuse_repeated(key, value)
        words += [key, _as_float(value, read_value(cfg, key))]
    _merge(cfg, lambda: cfg.merge_from_list(words), "command line")
    for key in map(str, overrides[::2]):
        if problem := plain_problem(read_value(cfg, key)):
            raise ConfigError(f"command line: {key}: {problem}")
    _refuse_infinite(cfg.SOLVER)
    return cfg


def _refuse_repeated(key: str, value: Any) -> None:
    """Raise ConfigError if the value of an override is the text of a dict with a repeated key, "{'a': 1, 'a': 2}".

    Python would silently use the last value.

    Args:
        key: config key of the override, for the error message.
        value: value of the override.
    """
    if not isinstance(value, str) or "{" not in value:
        return
    try:
        nodes = list(ast.walk(ast.parse(value.strip(), mode="eval")))
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # not a Python literal, but a plain string
        return
    for node in nodes:
        names = (
            [each.value for each in node.keys if isinstance(each, ast.Constant)] if isinstance(node, ast.Dict) else []
        )
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"command line: {key}: expected each key once in a dict, found {repeated[0]!r} twice")


def default_config() -> CfgNode:
    """Return a config with the defaults of Detectron2 and of this project."""
    cfg = get_cfg()
    add_seesaw_config(cfg)
    return cfg


def merge_file(cfg: CfgNode, values: dict[str, Any], path: str) -> CfgNode:
    """Merge the values of a YAML file into ``cfg`` in place. Return ``cfg``.

    Args:
        cfg: the config to update.
        values: nested dict with the values of the file and of its ``_BASE_`` files.
        path: path of the file, for error messages.

    Raises:
        ConfigError: a key is not in ``cfg``, or a value has a wrong type.
    """
    rename_keys(values, path)
    try:
        loaded = CfgNode(values)
    except AssertionError as error:  # yacs rejects a value of a type that configs do not allow
        raise ConfigError(f"{path}: {reason(error)}") from error
    _merge(cfg, lambda: cfg.merge_from_other_cfg(_with_floats(loaded, cfg)), path)
    return cfg


def _refuse_infinite(solver: CfgNode) -> None:
    """Raise ConfigError if a value in the node SOLVER is infinite or NaN. Training might not detect such a value."""
    for key in config_keys(solver):
        value = read_value(solver, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"SOLVER.{key}: expected a finite number, found {value}")


def _read(path: str, overrides: Sequence[Any]) -> dict[str, Any]:
    """Return the values of a YAML file and its ``_BASE_`` files, without running Python code in the files.

    Args:
        path: path of the file.
        overrides: [KEY, VALUE, ...] from the command line. Only the keys MODEL.DOWNLOAD_* are used, which limit the
            download of a ``_BASE_`` that is a URL.
    """
    PlainConfig.given = dict(zip(map(str, overrides[::2]), overrides[1::2], strict=False))
    try:
        loaded = PlainConfig.load_yaml_with_base(path, allow_unsafe=False)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this config file or a file in its _BASE_: {reason(error)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not a YAML file with plain values only: {reason(error)}") from error
    except ConfigError:
        raise
    except ValueError as error:  # Python does not parse integers with thousands of digits
        raise ConfigError(f"{path}: cannot read a number in this file: {reason(error)}") from error
    except AssertionError as error:  # fvcore finds a mapping here and a single value in a _BASE_
        raise ConfigError(
            f"{path}: a mapping of keys cannot replace a single value in a _BASE_: {reason(error)}"
        ) from None
    except TypeError:  # fvcore raises this if a _BASE_ is empty or not a mapping
        loaded = None
    if not isinstance(loaded, dict):
        found = "an empty file or a single value" if loaded is None else json_type(loaded)
        raise ConfigError(f"{path}: expected a mapping of config keys, found {found}")
    if (version := loaded.pop("VERSION", 2)) != 2:
        raise ConfigError(
            f"{path}: VERSION: expected 2, found {version!r}. Only version 2 of the config format is supported."
        )
    return loaded


def _with_floats(loaded: CfgNode, cfg: CfgNode) -> CfgNode:
    """Convert the integers in ``loaded`` to floats for the keys that are floats in ``cfg``. Return ``loaded``.

    Yacs, the library of Detectron2's configs, would reject an integer as the value of a float key.

    Args:
        loaded: values of a config file, which this function changes in place.
        cfg: config with the known keys.

    Raises:
        ValueError: ``loaded`` has a single value for a key that is a node in ``cfg``.
    """
    for name, value in loaded.items():
        known = cfg.get(name)
        if isinstance(value, CfgNode) and isinstance(known, CfgNode):
            _with_floats(value, known)
        elif isinstance(known, CfgNode) and not isinstance(value, CfgNode):
            raise ValueError(f"{name}: expected a mapping of keys, found {value!r}")
        else:
            loaded[name] = _as_float(value, known)
    return loaded


def _as_float(value, known):
    """Convert a config value to float if its key is a float and the value is an int or text of an integer, "3".

    Args:
        value: the new value of a config key.
        known: the current value of the key. If it is not a float, ``value`` does not change.

    Returns:
        the float, or the unchanged ``value``.
    """
    if not isinstance(known, float) or isinstance(value, bool):
        return value
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value.strip())):
        return float(str(value))  # infinity for a very large int, for which float(value) would raise an error
    return value


def read_value(cfg: CfgNode, key: str):
    """Return the value of a full key, such as "SOLVER.BASE_LR", or None if ``cfg`` does not contain the key."""
    for part in str(key).split("."):
        cfg = cfg.get(part) if isinstance(cfg, CfgNode) else None
    return cfg


# Matches the error message of yacs, Detectron2's config library, for a value of a wrong type. The groups capture the
# expected type, the found type, the default value, the found value and the config key.
_MISMATCH = re.compile(
    r"Type mismatch \(<class '(\w+)'> vs\. <class '(\w+)'>\) with values \((.*) vs\. (.*)\) for config key: (\S+)",
    re.DOTALL,
)


def _merge(cfg: CfgNode, merge, source: str) -> None:
    """Call ``merge``, and convert the errors of yacs, the library of Detectron2's configs, to ConfigErrors.

    Args:
        cfg: config with the known keys. For an unknown key, the error suggests the most similar of these keys.
        merge: function without arguments that merges values into ``cfg``.
        source: file or "command line" that contains the values. The error messages begin with this text.
    """
    try:
        merge()
    except (MemoryError, RecursionError):  # yacs parses a string as a Python literal, which can be nested too deeply
        raise ConfigError(f"{source}: a value is nested too deeply to be parsed") from None
    except (KeyError, AssertionError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        message = reason(error.args[0] if error.args else error)
        unknown = re.search(r"Non-existent (?:config )?key: (\S+)", message)
        if unknown:
            message = f"unknown config key {unknown.group(1)}{key_suggestion(unknown.group(1), config_keys(cfg))}"
        message = _MISMATCH.sub(r"\5: expected a value of type \1, such as \3, found \4 of type \2", message)
        raise ConfigError(f"{source}: {message}") from error


def config_keys(cfg: CfgNode, prefix: str = ""):
    """Yield ``prefix`` + the full name, such as "SOLVER.BASE_LR", of each key and node in a config."""
    for name, value in cfg.items():
        yield prefix + name
        if isinstance(value, CfgNode):
            yield from config_keys(value, f"{prefix}{name}.")


def config_values(cfg: CfgNode) -> dict[str, str]:
    """Return a dict from the full name of each key to the ``repr`` of its value. Nodes are not included."""
    return {key: repr(read_value(cfg, key)) for key in leaf_keys(cfg)}


def leaf_keys(cfg: CfgNode) -> list[str]:
    """Return the full names of all keys of a config, such as "SOLVER.BASE_LR". Nodes are not included."""
    return [key for key in config_keys(cfg) if not isinstance(read_value(cfg, key), CfgNode)]
