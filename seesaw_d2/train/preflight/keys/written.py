"""Find the config keys that the user wrote in files and on the command line."""

import copy
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from detectron2.config import CfgNode

from seesaw_d2.config.loading import default_config, leaf_keys, load_config, merge_file, read_value
from seesaw_d2.config.yaml_files import PlainConfig
from seesaw_d2.config_files import find_config_file
from seesaw_d2.errors import SeesawError

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Layer:
    """The config keys that one YAML file or the command line sets.

    Attributes:
        source: path of the file, or ``COMMAND_LINE``.
        values: a dict from full key, such as "SOLVER.BASE_LR", to value, only with the keys that this layer sets.
        merged: nested dict of the values of the file and its ``_BASE_``s. None for the command line.
        is_base: whether the file is a ``_BASE_`` of another file, or is meant as one, because its name begins with
            "Base".
    """

    source: str
    values: Mapping[str, Any]
    merged: Mapping[str, Any] | None
    is_base: bool

    @property
    def is_dump(self) -> bool:
        """Return whether the file is a complete config that a run saved.

        A run saves all keys, including those that the user did not set. A config that a user writes has few keys.
        Therefore a file that sets more than half of all config keys counts as complete.
        """
        return 2 * len(self.values) > _num_keys()

    @functools.cached_property
    def config(self) -> CfgNode | None:
        """Return the config that the file and its ``_BASE_``s form, or None if the config is invalid."""
        try:
            return merge_file(default_config(), copy.deepcopy(dict(self.merged or {})), self.source)
        except SeesawError:
            return None


@functools.cache
def _num_keys() -> int:
    return len(leaf_keys(default_config()))


def written_layers(config_file: str = "", overrides: Sequence[str] = ()) -> list[Layer]:
    """Return the keys that each file and the command line set, in the order in which ``load_config`` merges them.

    The order is: the ``_BASE_``s, the file, the overrides of the command line.

    Args:
        config_file: path or name of a YAML file, or "" for the default config.
        overrides: keys and values in turn, as on the command line of ``train_net.py``.
    """
    layers = _files(find_config_file(config_file)) if config_file else []
    overrides = list(overrides or [])
    if overrides:
        cfg = load_config(config_file, overrides)
        values = {str(key): read_value(cfg, str(key)) for key in overrides[::2]}
        layers.append(Layer(COMMAND_LINE, values, None, is_base=False))
    return layers


def _files(path: str) -> list[Layer]:
    layers: list[Layer] = []

    class Reader(PlainConfig):
        @classmethod
        def load_yaml_with_base(cls, filename, allow_unsafe=False):
            merged = super().load_yaml_with_base(filename)
            own = yaml.safe_load(cls._open_cfg(filename)) or {}
            is_base = filename != path or os.path.basename(filename).startswith("Base")
            layers.append(Layer(filename, _leaves(own, default_config()), copy.deepcopy(merged), is_base))
            return merged

    Reader.load_yaml_with_base(path)
    return layers


def _leaves(values: Mapping[str, Any], known: CfgNode, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to a dict from full key to value. Drop keys that the config ``known`` does not contain.

    ``prefix`` is the full key of the node ``values`` with a dot at the end, or "".
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(known.get(name), CfgNode):
            found.update(_leaves(value, known[name], f"{prefix}{name}."))
        elif name in known and name != "VERSION":
            found[prefix + name] = value
    return found
