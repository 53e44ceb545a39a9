"""Read config files as plain data of a limited size.

YAML files can construct Python objects, and a few lines of aliases can stand for billions of values. Aliases are
allowed, because the configs that Detectron2 saves contain some.
"""

import contextlib
import math
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import yaml
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.downloads import Limits, cached_download
from seesaw_d2.utils.regular_files import irregular
from seesaw_d2.utils.yaml_reading import NamedText, yaml_values

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
MAX_FILES = 50
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class PlainConfig(CfgNode):
    """Detectron2's reader of a config and its ``_BASE_``s, which checks each file before constructing its values."""

    # Chain of files that led to the current one, and the number of files opened so far.
    _derived: ClassVar[list[str]] = []
    _opened: ClassVar[int] = 0
    # Limits of downloads: the overrides of the command line, and what they or the files so far set. The first counts.
    given: ClassVar[Mapping[str, Any]] = {}
    _limits: ClassVar[dict[str, float]] = {}

    @classmethod
    def load_yaml_with_base(cls, filename, allow_unsafe=False):
        """Return the values of a file and its ``_BASE_``s.

        Raises:
            ConfigError: a file is its own ``_BASE_``, there are more than ``MAX_FILES`` files, or ``_checked_text``
                raises it.
            OSError, yaml.YAMLError: a file cannot be read, or is not YAML of plain values.
        """
        where = filename if "://" in filename else os.path.realpath(filename)
        if where in PlainConfig._derived:
            raise ConfigError(f"{filename}: its _BASE_ leads back to itself")
        PlainConfig._opened = PlainConfig._opened + 1 if PlainConfig._derived else 1
        if PlainConfig._opened > MAX_FILES:
            raise ConfigError(f"{filename}: expected at most {MAX_FILES} files in the chain of _BASE_, found more")
        if not PlainConfig._derived:
            PlainConfig._limits = _limits_in(PlainConfig.given)
        PlainConfig._derived.append(where)
        try:
            return super().load_yaml_with_base(filename, allow_unsafe=False)
        finally:
            PlainConfig._derived.pop()

    @classmethod
    def _open_cfg(cls, filename):
        text = _checked_text(filename, Limits(**PlainConfig._limits, size=MAX_BYTES))
        values = yaml.safe_load(NamedText(text.getvalue(), filename))
        model = values.get("MODEL") if isinstance(values, dict) and "://" not in filename else None
        if isinstance(model, dict):
            set_here = _limits_in({f"MODEL.{key}": value for key, value in model.items()})
            PlainConfig._limits = set_here | PlainConfig._limits
        return text


def _limits_in(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits of downloads among config keys, as arguments of ``Limits``. Wrong values are refused later."""
    found = {}
    for name, key in (("silence", "MODEL.DOWNLOAD_TIMEOUT"), ("total", "MODEL.DOWNLOAD_TIME_LIMIT")):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            if 0 < (value := float(values.get(key, 0))) < math.inf:
                found[name] = value
    return found


def _checked_text(path: str, limits: Limits) -> NamedText:
    """Return the text of one file after checking it. An address is downloaded within ``limits``.

    Raises:
        ConfigError: the file contains Python, is not a regular file, is too large or is nested too deeply; a key occurs
            twice or is not a string; a ``_BASE_`` is not a path; aliases expand to more than ``MAX_VALUES`` values or
            contain themselves.
        OSError, yaml.YAMLError: the file cannot be read or is not YAML.
    """
    if path.endswith(".py"):
        raise ConfigError(f"{path}: expected a YAML file, found a Python config (LazyConfig)")
    if "://" not in path and irregular(path):
        raise ConfigError(f"{path}: expected a config file, found {irregular(path)}")
    local = cached_download(path, limits=limits) if path.startswith(("http://", "https://")) else path
    with PathManager.open(local, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: expected a config file, found one of more than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a YAML file: byte {error.start} is not UTF-8") from None
    try:
        node = yaml.compose(NamedText(text, path), Loader=yaml.SafeLoader)
        _count(node, path, {}, config=True)
    except RecursionError:
        raise ConfigError(f"{path}: expected a config file, found one that is nested too deeply") from None
    try:
        yaml_values(text, path)
    except ConfigError as error:
        if isinstance(error.__cause__, yaml.YAMLError):  # the cause names this file; the caller names the derived one
            raise error.__cause__ from None
        raise
    return NamedText(text, path)


def _count(node: yaml.Node | None, path: str, known: dict[int, int | None], *, config: bool) -> int:
    """Return the number of values that a node expands to.

    Args:
        known: node id -> number of values, for the nodes visited so far. None for the ancestors of this node.
        config: whether the node contains config keys. False inside lists.
    """
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise ConfigError(f"{path}, {_place(node)}: expected no alias inside its own anchor, found one")
        return count
    known[id(node)], count = None, 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, path, config=config)
        count += sum(_count(value, path, known, config=config) for _, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_count(value, path, known, config=False) for value in node.value)
    if count > MAX_VALUES:
        raise ConfigError(f"{path}, {_place(node)}: expands to more than {MAX_VALUES} values; expected a config file")
    known[id(node)] = count
    return count


def _check_keys(node: yaml.MappingNode, path: str, *, config: bool) -> None:
    seen = set()
    for key, value in node.value:
        if config and key.tag not in _KEY_TAGS:
            raise ConfigError(f"{path}, {_place(key)}: expected the name of a key, found {_shown(key)}")
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name in seen and name != "<<":
            raise ConfigError(f"{path}, {_place(key)}: {name}: expected each key once, found it again")
        if name is not None:
            seen.add(name)
        if name == "_BASE_" and config:
            bases = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if not all(base.tag == _KEY_TAGS[0] for base in bases):
                raise ConfigError(f"{path}, {_place(key)}: _BASE_: expected the path of a file, found {_shown(value)}")


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _shown(node: yaml.Node) -> str:
    return node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
