"""Compare the values of two configs that are stored as YAML text, for example in a checkpoint and in a run folder."""

import itertools
from collections.abc import Collection, Iterator
from typing import Any

import yaml

from seesaw_d2.config.loading import default_config
from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.messages import one_line, shortened
from seesaw_d2.utils.yaml_reading import read_yaml_file, yaml_values

ABSENT = "not set"
_MAX_VALUES = 100_000


class _Texts(yaml.BaseLoader):
    """YAML loader that reads each value as text and ignores YAML tags, such as the Python tags in LazyConfigs."""


def flat_config(text: str, source: str) -> dict[str, str]:
    """Parse the YAML text of a saved config, and return a dict from full key to value as text.

    For example, the text "SOLVER: {BASE_LR: 0.02}" gives {"SOLVER.BASE_LR": "0.02"}.

    Args:
        text: the config, or a LazyConfig saved as YAML.
        source: name of the file that contains the text, for error messages.

    Raises:
        ConfigError: the text is not YAML, or describes too many values.
    """
    return flat_values(yaml_values(text, source, _Texts, ConfigError), source)


def flat_config_file(path: str) -> dict[str, str]:
    """Read a config file in YAML, and return a dict from full key, such as "SOLVER.BASE_LR", to value as text.

    Raises:
        ConfigError: the file cannot be read, is not YAML, or describes too many values.
    """
    return flat_values(read_yaml_file(path, _Texts)[1], path)


def flat_values(config: Any, source: str) -> dict[str, str]:
    """Return a dict from full key, such as "SOLVER.BASE_LR" or "DATASETS.REGISTER.0.NAME", to the value as text.

    Args:
        config: parsed content of a config, nested dicts and lists.
        source: name of the file that contains the config, for error messages.

    Raises:
        ConfigError: the config has more than 100,000 values, which a short text with nested YAML aliases can describe.
    """
    leaves = _leaves(config, "")
    try:
        found = dict(itertools.islice(leaves, _MAX_VALUES + 1))
    except RecursionError:  # a YAML alias can make a list or dict contain itself
        raise ConfigError(f"{source}: values are nested too deeply to be compared") from None
    if len(found) > _MAX_VALUES:
        raise ConfigError(f"{source}: expected at most {_MAX_VALUES} values, found more values")
    return found


def _leaves(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield a pair (full key, value as text) for each single value in ``value``, whose own full key is ``key``.

    A list of plain values is a single value, such as "[1, 2]".
    """
    if isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value):
        value = dict(enumerate(value))
    if isinstance(value, dict) and (value or not key):
        for name, each in value.items():
            yield from _leaves(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield key, f"[{', '.join(map(str, value))}]"
    else:
        yield key, str(value)


def differences(
    before: dict[str, str], now: dict[str, str], left_out: Collection[str] = ()
) -> dict[str, tuple[str, str]]:
    """Compare two configs. Return a dict from each key with different values to the pair of values (before, now).

    The dict is sorted by key. The value of an absent key is "not set". A key that only ``now`` contains is ignored if
    it has the default value, because configs of Detectron2 and of earlier versions of this project lack such keys.

    Args:
        before, now: the configs, as dicts from full key, such as "SOLVER.BASE_LR", to value as text.
        left_out: full names of keys or nodes to ignore.
    """
    keys = [key for key in sorted(before.keys() | now.keys()) if not within(key, left_out)]
    pairs = {key: (before.get(key, ABSENT), now.get(key, ABSENT)) for key in keys}
    found = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
    if not found.keys() - before.keys():
        return found
    defaults = flat_config(default_config().dump(), "default config")
    return {key: pair for key, pair in found.items() if key in before or now[key] != defaults.get(key)}


def within(key: str, nodes: Collection[str]) -> bool:
    """Return True if ``nodes`` contains ``key``, such as "SOLVER.BASE_LR", or one of its parent nodes, "SOLVER"."""
    return any(key == node or key.startswith(f"{node}.") for node in nodes)


def describe(found: dict[str, tuple[str, str]], before: str = "before", now: str = "now") -> str:
    """Format the differences of two configs as one line, such as "SOLVER.BASE_LR 0.02 before, 0.01 now".

    Args:
        found: dict from full key to the pair of values in the first and in the second config.
        before, now: words that follow the first and the second value.
    """
    short = {key: [shortened(one_line(value) or "''") for value in pair] for key, pair in found.items()}
    return "; ".join(f"{one_line(key)} {old} {before}, {new} {now}" for key, (old, new) in short.items())
