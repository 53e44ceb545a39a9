"""Read YAML files and YAML text with plain values. All error messages contain the path of the file."""

import io
from typing import Any

import yaml

from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.utils.messages import reason
from seesaw_d2.utils.plain_values import plain_problem
from seesaw_d2.utils.regular_files import irregular, open_regular

_MAX_BYTES = 1 << 24


def read_yaml_file(path: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader, error: type[SeesawError] = ConfigError):
    """Return a pair: the text of a YAML file, and the values in this text.

    Args:
        path: path of the file.
        loader: a safe loader of PyYAML.
        error: the exception type to raise.

    Raises:
        error: the file is missing, not a regular file, too large, not UTF-8, or not YAML with plain values.
    """
    if kind := irregular(path):
        raise error(f"{path}: expected a YAML file, found {kind}")
    try:
        with open_regular(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise error(f"{path}: expected at most {_MAX_BYTES} bytes, found at least {len(content)} bytes")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{path}: expected a YAML file in UTF-8, found invalid UTF-8 at byte {problem.start}") from None
    except OSError as problem:
        raise error(f"{path}: cannot read the file: {problem.strerror or problem}") from None
    return text, yaml_values(text, path, loader, error)


class _RepeatedKeyError(Exception):
    """Raised if a mapping has a key twice. The message contains the line and the key."""


def _with_unique_keys(loader: type[yaml.SafeLoader]) -> type[yaml.SafeLoader]:
    """Return a subclass of a loader that raises _RepeatedKeyError for a key that occurs twice in a mapping.

    PyYAML's loaders keep only the last value of such a key, which hides mistakes in configs.
    """

    class UniqueKeys(loader):
        def compose_mapping_node(self, anchor):
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                plain = isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge"
                name = (key.tag, key.value) if plain else None
                if name in seen:
                    raise _RepeatedKeyError(f"line {key.start_mark.line + 1}: {key.value}")
                if name is not None:
                    seen.add(name)
            return node

    return UniqueKeys


class NamedText(io.StringIO):
    """Text stream with an attribute ``name``. PyYAML shows this name of the file in error messages."""

    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name = name


def yaml_values(
    text: str, path: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader, error: type[SeesawError] = ConfigError
) -> Any:
    """Return the values in YAML text.

    Args:
        text: the YAML text.
        path: path of the file, for messages.
        loader: a safe loader of PyYAML.
        error: the exception type to raise.

    Raises:
        error: the text is not YAML with plain values, a mapping has a key twice, a value does not match its tag
            (``!!timestamp x``), values are nested too deeply, an integer has more than 64 bits, or text has an unpaired
            surrogate ("\\ud800").
    """
    try:
        values = yaml.load(NamedText(text, path), _with_unique_keys(loader))
        problem = plain_problem(values)
    except _RepeatedKeyError as found:
        raise error(f"{path}, {found}: expected each key once in a mapping, found this key twice") from None
    except yaml.YAMLError as found:
        raise error(f"{path}: not a YAML file with plain values only: {reason(found)}") from found
    except RecursionError:
        raise error(f"{path}: values are nested too deeply to be parsed") from None
    except (ValueError, OverflowError) as found:  # for example, an integer with thousands of digits
        raise error(f"{path}: cannot read a value: {reason(found)}") from None
    except (TypeError, AttributeError, KeyError, IndexError) as found:
        # PyYAML's constructors raise these types for a value that does not match its tag.
        raise error(f"{path}: a value does not match its YAML tag: {type(found).__name__}: {reason(found)}") from None
    if problem:
        raise error(f"{path}: {problem}")
    return values
