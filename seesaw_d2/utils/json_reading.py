"""Read JSON files. Error messages describe the problem and its position in the file."""

import codecs
import contextlib
import gc
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import json_type
from seesaw_d2.utils.regular_files import irregular, open_regular
from seesaw_d2.utils.repeated_keys import RepeatedKeyError, may_repeat_keys, unique_keys

_EXPECTED = "expected an annotation file in LVIS or COCO format"
# Maps the first bytes of packed files to their format. JSON files cannot start with these bytes.
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "ZIP", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


def load_json_object(
    path: str,
    expected: str = _EXPECTED,
    count_nan: Callable[[dict[str, Any]], int] | None = None,
    describe: Callable[[Any], str] = lambda value: "",
) -> dict[str, Any]:
    """Return the content of a JSON file whose top level is an object.

    Args:
        path: path of the file.
        expected: text for messages, such as "expected an annotation file in LVIS or COCO format".
        count_nan: function that counts the allowed NaN values in the parsed object. If None, no NaN is allowed.
        describe: function that takes a value that is not an object, and returns text for the end of the error message.

    Raises:
        DataError: the file cannot be read or is not valid JSON (see ``load_json``), or the top level is not an object.
    """
    value = load_json(path, expected, count_nan)
    if not isinstance(value, dict):
        raise DataError(f"{path}: {expected}, an object at the top level, found {json_type(value)}{describe(value)}")
    return value


def load_json(path: str, expected: str, count_nan: Callable[[dict[str, Any]], int] | None = None) -> Any:
    """Return the content of a JSON file.

    Args:
        path: path of the file.
        expected: text for messages, such as "expected an annotation file in LVIS or COCO format".
        count_nan: function that counts the allowed NaN values in the parsed object. Any other NaN in the file is an
            error. If None, no NaN is allowed. NaN is not valid JSON, but Python's json module writes NaN.

    Raises:
        DataError: the file is missing, not a regular file, unreadable, or not JSON, or an object has a key twice. For a
            syntax error, the message contains line and column.
    """
    if irregular(path):
        raise DataError(f"{path}: {expected}, found {irregular(path)}")
    try:
        with open_regular(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: {expected}, found no file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot read the file: {error.strerror or error}") from None
    return _parse(content, path, expected, count_nan)


def _parse(content: bytes, path: str, expected: str, count_nan: Callable[[dict[str, Any]], int] | None) -> Any:
    seen = 0

    def constant(name: str) -> float:
        nonlocal seen
        if name != "NaN" or count_nan is None:
            refuse(name)
        seen += 1
        return float("nan")

    def refuse(name: str) -> None:
        raise DataError(
            f"{path}: expected finite numbers, found {name}, which is not valid JSON. Replace {name} by a number."
        )

    with contextlib.suppress(orjson.JSONDecodeError):
        value = orjson.loads(content.removeprefix(codecs.BOM_UTF8))
        if not may_repeat_keys(content, value):
            return value
        del value  # free its memory before the next parser reads the same text
    if packed := next((name for start, name in _PACKED.items() if content.startswith(start)), None):
        raise DataError(f"{path}: {expected}, found a file in {packed} format. Unpack this file")
    # The json module is slower than orjson, but finds repeated keys, reads integers of more than 64 bits, and reports
    # the line and column of an error.
    try:
        text = content.decode("utf-8-sig")
        value = json.loads(text, parse_constant=constant, object_pairs_hook=unique_keys)
        if seen and (count_nan is None or not isinstance(value, dict) or count_nan(value) != seen):
            refuse("NaN")
        return value
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if error.msg == "Extra data" and error.lineno > 1 and error.doc[error.pos] in "[{":
            raise DataError(
                f"{path}: {expected}, found several JSON values one after the other (the format JSON Lines). The "
                f"second value starts at {where}. Write all values as one JSON value, such as a list"
            ) from None
        raise DataError(f"{path}: {expected}, found a file that is not JSON: {error.msg} at {where}") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: {expected}, found a file that is not JSON: invalid UTF-8 at byte {error.start}"
        ) from None
    except RepeatedKeyError as error:
        raise DataError(f"{path}: {error}") from None
    except DataError:
        raise
    except ValueError as error:  # Python refuses integers with thousands of digits
        raise DataError(f"{path}: cannot read a number: {error}") from None
    except RecursionError:
        raise DataError(f"{path}: {expected}, found values that are nested too deeply to be parsed") from None


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Disable Python's garbage collection within this context.

    Code that creates millions of containers without reference cycles runs faster in this context.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def fingerprint(path: str | None) -> tuple[int, int] | None:
    """Return the modification time in ns and the size in bytes of a file, to notice changes. None if missing."""
    try:
        status = os.stat(path) if path else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if status else None


def absolute_path(path: str) -> str:
    """Expand ~ and $VARIABLES in a path, and return the absolute path."""
    return os.path.abspath(os.path.expanduser(os.path.expandvars(path)))
