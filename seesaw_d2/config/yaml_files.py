"""Config files as plain data of a bounded size: nothing in one is run, and none grows when it is read.

YAML can name Python objects, and a few lines of anchors can stand for billions of values.
"""

import io
import os
from typing import ClassVar

import yaml
from detectron2.config import CfgNode
from detectron2.utils.file_io import PathManager

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.regular_files import irregular

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
MAX_FILES = 50
_KEY_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class PlainConfig(CfgNode):
    """Detectron2's reader of a config and its ``_BASE_``s; each of these files is checked before it is built."""

    # Files that the one being read is a base of, and how many have been opened for the first of them.
    _derived: ClassVar[list[str]] = []
    _opened: ClassVar[int] = 0

    @classmethod
    def load_yaml_with_base(cls, filename, allow_unsafe=False):
        """
        Raises:
            ConfigError: a file is its own ``_BASE_``, there are more than ``MAX_FILES``, or see ``_checked_text``.
            OSError, yaml.YAMLError: a file cannot be read, or is not YAML of plain values.
        """
        where = filename if "://" in filename else os.path.realpath(filename)
        if where in PlainConfig._derived:
            raise ConfigError(f"{filename}: its _BASE_ leads back to itself")
        PlainConfig._opened = PlainConfig._opened + 1 if PlainConfig._derived else 1
        if PlainConfig._opened > MAX_FILES:
            raise ConfigError(f"{filename}: one of more than {MAX_FILES} files that are each other's _BASE_")
        PlainConfig._derived.append(where)
        try:
            return super().load_yaml_with_base(filename, allow_unsafe=False)
        finally:
            PlainConfig._derived.pop()

    @classmethod
    def _open_cfg(cls, filename):
        return _checked_text(filename)


class _Text(io.StringIO):
    """Text with the name of its file, which YAML's errors give."""

    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name = name


def _checked_text(path: str) -> _Text:
    """The text of one file.

    Raises:
        ConfigError: it is Python, no regular file, too large, nested too deeply, has a key twice or one that is no
            text, a ``_BASE_`` that is no path, or anchors that stand for more than ``MAX_VALUES`` values or for
            themselves.
        OSError, yaml.YAMLError: it cannot be read, or is not YAML.
    """
    if path.endswith(".py"):
        raise ConfigError(f"{path}: expected a YAML file; a Python config (LazyConfig) is a program, which is not run")
    if "://" not in path and irregular(path):
        raise ConfigError(f"{path}: expected a config file, found {irregular(path)}")
    with PathManager.open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: expected a config file, found one of more than {MAX_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a YAML file: byte {error.start} is not UTF-8") from None
    try:
        node = yaml.compose(_Text(text, path), Loader=yaml.SafeLoader)
        _count(node, path, {}, config=True)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply; expected a config file") from None
    return _Text(text, path)


def _count(node: yaml.Node | None, path: str, known: dict[int, int | None], *, config: bool) -> int:
    """How many values a node stands for.

    Args:
        known: of the nodes seen so far; None for those that this one is in.
        config: whether it is a mapping of config keys, and no value in a list.
    """
    if id(node) in known:
        count = known[id(node)]
        if count is None:
            raise ConfigError(f"{path}, {_place(node)}: an anchor stands for something that holds itself")
        return count
    known[id(node)], count = None, 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, path, config=config)
        count += sum(_count(value, path, known, config=config) for _, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        count += sum(_count(value, path, known, config=False) for value in node.value)
    if count > MAX_VALUES:
        raise ConfigError(f"{path}, {_place(node)}: stands for more than {MAX_VALUES} values; expected a config file")
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
