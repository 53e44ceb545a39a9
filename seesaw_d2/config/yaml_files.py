"""Read YAML config files without running Python code in them, and limit the number of bytes, values and files.

YAML aliases are allowed, because configs that Detectron2 saves contain aliases. A few lines of nested aliases can
expand to billions of values, so the number of values after expansion is limited.
"""

import contextlib
import functools
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
    """``CfgNode`` that checks a YAML file and its ``_BASE_`` files before reading the values."""

    # Paths of the files that are being read: first the file that the caller passed to load_yaml_with_base, then its
    # _BASE_, then the _BASE_ of that file, and so on. If a path occurs again, the files form a cycle.
    _derived: ClassVar[list[str]] = []
    # Number of files that the current call of load_yaml_with_base has opened. More than MAX_FILES files are an error.
    _opened: ClassVar[int] = 0
    # The config overrides from the command line, a dict from config key to value. Only MODEL.DOWNLOAD_TIMEOUT and
    # MODEL.DOWNLOAD_TIME_LIMIT are used. They limit the download of a _BASE_ that is a URL.
    given: ClassVar[Mapping[str, Any]] = {}
    # Time limits in seconds for the download of a _BASE_ that is a URL, as keyword arguments of ``Limits``. They come
    # from the command line and from the files read so far. If a limit is set several times, the first value applies.
    _limits: ClassVar[dict[str, float]] = {}

    @classmethod
    def load_yaml_with_base(cls, filename, allow_unsafe=False):
        """Return the values of a YAML file and its ``_BASE_`` files as a nested dict.

        Args:
            filename: path or URL of the file.
            allow_unsafe: ignored. Python objects in the file are always an error.

        Raises:
            ConfigError: the ``_BASE_`` files form a cycle, there are more than 50 files, or a file is invalid (see
                ``_checked_text``).
            OSError: a file cannot be read.
            yaml.YAMLError: a file is not YAML, or contains Python objects.
        """
        where = filename if "://" in filename else os.path.realpath(filename)
        if where in PlainConfig._derived:
            raise ConfigError(
                f"{filename}: _BASE_: the base files of this config lead back to this config. Remove one of their "
                "_BASE_ keys."
            )
        PlainConfig._opened = PlainConfig._opened + 1 if PlainConfig._derived else 1
        if PlainConfig._opened > MAX_FILES:
            raise ConfigError(
                f"{filename}: _BASE_: expected a chain of at most {MAX_FILES} files, found more than {MAX_FILES} files"
            )
        if not PlainConfig._derived:
            PlainConfig._limits = _limits_in(PlainConfig.given)
        PlainConfig._derived.append(where)
        try:
            return super().load_yaml_with_base(filename, allow_unsafe=False)
        finally:
            PlainConfig._derived.pop()

    @classmethod
    def _open_cfg(cls, filename):
        text, values = _checked_text(filename, Limits(**PlainConfig._limits, size=MAX_BYTES))
        model = values.get("MODEL") if isinstance(values, dict) and "://" not in filename else None
        if isinstance(model, dict):
            set_here = _limits_in({f"MODEL.{key}": value for key, value in model.items()})
            PlainConfig._limits = set_here | PlainConfig._limits
        return text


def _limits_in(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the download limits in a dict from config key to value, as arguments of ``Limits``.

    For example, {"MODEL.DOWNLOAD_TIMEOUT": 30} gives {"silence": 30.0}. Invalid values are skipped, because the checks
    before a training report them.
    """
    found = {}
    for name, key in (("silence", "MODEL.DOWNLOAD_TIMEOUT"), ("total", "MODEL.DOWNLOAD_TIME_LIMIT")):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            if 0 < (value := float(values.get(key, 0))) < math.inf:
                found[name] = value
    return found


def _checked_text(path: str, limits: Limits) -> tuple[NamedText, Any]:
    """Read and check one config file. Return its text, and its values as nested dicts and lists.

    Args:
        path: path or URL of the file.
        limits: limits on the time and size of the download if ``path`` is a URL.

    Raises:
        ConfigError: the file is a LazyConfig or not a regular file, is larger than 1 MiB or is nested too deeply. A key
            occurs twice or is not a string. A ``_BASE_`` is not a path. Aliases expand to more than 100,000 values or
            form a cycle.
        OSError: the file cannot be read.
        yaml.YAMLError: the file is not YAML.
    """
    if path.endswith(".py"):
        raise ConfigError(
            f"{path}: expected a YAML file, found a Python file (LazyConfig). Only lazyconfig_train_net.py reads "
            "LazyConfigs."
        )
    if "://" not in path and irregular(path):
        raise ConfigError(f"{path}: expected a config file, found {irregular(path)}")
    local = cached_download(path, limits=limits) if path.startswith(("http://", "https://")) else path
    with PathManager.open(local, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: expected at most {MAX_BYTES} bytes in a config file, found more than {MAX_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: expected text in UTF-8, found an invalid byte at position {error.start}") from None
    return NamedText(text, path), _checked_values(text, path)


@functools.lru_cache(maxsize=MAX_FILES)  # one job reads each file several times
def _checked_values(text: str, path: str) -> Any:
    """Return the values in the text of a config file as nested dicts and lists, which callers must not change.

    Args:
        text: the text.
        path: path of the file, for error messages.

    Raises:
        ConfigError: see ``_checked_text``.
        yaml.YAMLError: the text is not YAML.
    """
    try:
        node = yaml.compose(NamedText(text, path), Loader=yaml.SafeLoader)
        _count(node, path, {}, config=True)
    except RecursionError:
        raise ConfigError(f"{path}: values are nested too deeply to be parsed") from None
    try:
        return yaml_values(text, path)
    except ConfigError as error:
        if isinstance(error.__cause__, yaml.YAMLError):  # the caller adds the path to the YAML error
            raise error.__cause__ from None
        raise


def _count(node: yaml.Node | None, path: str, known: dict[int, int | None], *, config: bool) -> int:
    """Return the number of values in a YAML node and its descendants after expanding aliases. Check the keys.

    Args:
        node: a node of PyYAML's syntax tree. An alias is the same node object at a second place.
        path: path of the file, for error messages.
        known: dict from ``id(node)`` to the number of values, for the nodes counted so far. This function extends the
            dict. The number is None while a node is being counted, so that a node inside itself is found.
        config: whether the keys of mappings must be config keys (strings). False inside lists.

    Raises:
        ConfigError: there are more than 100,000 values, a value contains itself through an alias, or a key is invalid.
    """
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise ConfigError(
                f"{path}, {_place(node)}: this value contains itself through a YAML alias. Delete the alias."
            )
        return count
    known[id(node)], count = None, 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, path, config=config)
        count += sum(_count(value, path, known, config=config) for _, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_count(value, path, known, config=False) for value in node.value)
    if count > MAX_VALUES:
        raise ConfigError(
            f"{path}, {_place(node)}: expected at most {MAX_VALUES} values after expanding YAML aliases, found {count} "
            "values"
        )
    known[id(node)] = count
    return count


def _check_keys(node: yaml.MappingNode, path: str, *, config: bool) -> None:
    """Check the keys of a mapping in a config file.

    Args:
        node: the mapping, a node of PyYAML's syntax tree.
        path: path of the file, for error messages.
        config: whether the keys are config keys, which must be strings. False for mappings inside lists.

    Raises:
        ConfigError: a key occurs twice or is not a string, or the value of ``_BASE_`` is not a path.
    """
    seen = set()
    for key, value in node.value:
        if config and key.tag not in _KEY_TAGS:
            raise ConfigError(f"{path}, {_place(key)}: expected a config key, which is a string, found {_shown(key)}")
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name in seen and name != "<<":
            raise ConfigError(f"{path}, {_place(key)}: {name}: expected each key once, found this key twice")
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
