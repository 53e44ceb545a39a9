"""Reading a JSON file, and the small change of error messages about it."""

import contextlib
import gc
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from seesaw_d2.errors import DataError
from seesaw_d2.utils.regular_files import irregular

_EXPECTED = "expected an annotation file in LVIS or COCO format"
_already_logged: set[str] = set()
_collectors: list[list[str]] = []


def load_json_object(
    path: str, expected: str = _EXPECTED, count_nan: Callable[[dict[str, Any]], int] | None = None
) -> dict[str, Any]:
    """Read a file whose top level is a JSON object.

    Args:
        path: the file.
        expected: for messages, what the file should be.
        count_nan: counts the NaN of an object where it may have them, which Python's json writes though JSON does not
            know it; default: nowhere.

    Raises:
        DataError: the file is missing, a directory, unreadable, not JSON (with line and column) or holds
            something else than an object.
    """
    if irregular(path):
        raise DataError(f"{path}: is {irregular(path)}; {expected}")
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {expected}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not JSON: byte {error.start} is not UTF-8; {expected}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    value = _parse(text, path, expected, count_nan)
    if not isinstance(value, dict):
        raise DataError(f"{path}: the top level is {json_type(value)}; {expected}, which is an object")
    return value


def _parse(text: str, path: str, expected: str, count_nan: Callable[[dict[str, Any]], int] | None) -> Any:
    seen = 0

    def constant(name: str) -> float:
        nonlocal seen
        if name != "NaN" or count_nan is None:
            refuse(name)
        seen += 1
        return float("nan")

    def refuse(name: str) -> None:
        raise DataError(f"{path}: holds {name}, which is not JSON; expected finite numbers")

    with contextlib.suppress(orjson.JSONDecodeError):
        return orjson.loads(text)
    # What orjson does not take may still be JSON (integers beyond 64 bits); what is not, json says where.
    try:
        value = json.loads(text, parse_constant=constant)
        if seen and (not isinstance(value, dict) or count_nan(value) != seen):
            refuse("NaN")
        return value
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}: not JSON: {error.msg} at {where}; {expected}") from None
    except DataError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{path}: holds a number that cannot be read: {error}") from None
    except RecursionError:
        raise DataError(f"{path}: nested too deeply; {expected}") from None


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Millions of new containers and no cycle among them: the collector would only cost time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def fingerprint(path: str | None) -> tuple[int, int] | None:
    """(modification time in ns, size in bytes) of a file, None without one: changes with its content."""
    try:
        status = os.stat(path) if path else None
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size) if status else None


def absolute_path(path: str) -> str:
    """With ~ and $VARIABLES expanded; absolute, so that a later change of the working directory moves nothing."""
    return os.path.abspath(os.path.expanduser(os.path.expandvars(path)))


def json_type(value: Any) -> str:
    """What JSON calls the type of a parsed value."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def first_few(values: Iterable[Any], limit: int = 5) -> str:
    """``3, 5, 8, 9, 12, … (17 in all)``: the first ``limit`` of the values and how many there are."""
    values = list(values)
    text = ", ".join(str(value) for value in values[:limit])
    return text if len(values) <= limit else f"{text}, … ({len(values)} in all)"


def warn_once(logger: logging.Logger, message: str, level: int = logging.WARNING) -> None:
    """Log a message unless this process has logged the same one: files are parsed more than once in a run."""
    for messages in _collectors:
        messages.append(message)
    if message not in _already_logged:
        _already_logged.add(message)
        logger.log(level, message)


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The messages of ``warn_once`` in this block, those that were logged before among them."""
    messages: list[str] = []
    _collectors.append(messages)
    try:
        yield messages
    finally:
        _collectors.pop()  # blocks end in turn; another one's messages may be equal to these
