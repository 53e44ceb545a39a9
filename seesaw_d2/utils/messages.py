"""Format values for log messages and error messages, and log repeated warnings only once."""

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

_already_logged: set[str] = set()
_collectors: list[list[str]] = []


def one_line(value: Any) -> str:
    """Format a value, such as a file name, as one line of at most 500 characters. Escape unprintable characters."""
    text = str(value)[:501]
    return shortened(text if text.isprintable() else repr(text)[1:-1], 500)


def first_few(values: Iterable[Any], limit: int = 5) -> str:
    """Format the first ``limit`` values. If there are more, append the total: ``3, 5, 8, 9, 12, … (17 in all)``."""
    values = list(values)
    text = ", ".join(map(one_line, values[:limit]))
    return text if len(values) <= limit else f"{text}, … ({len(values)} in all)"


def shortened(text: str, limit: int = 200) -> str:
    """Return the first ``limit`` characters of a text, followed by "…" if the text is longer."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def reason(error: object) -> str:
    """Format the error message of another library, such as PyYAML, as one line of at most 500 characters."""
    return shortened(" ".join(str(error).split()), 500)


def shown(value: Any) -> str:
    """Return a short description of a value from a file. Even for huge values, this takes little time and memory.

    For text, bytes, numbers, None and small tuples, the description is similar to ``repr``. For other values, it is the
    type of the value.
    """
    if isinstance(value, (str, bytes)):
        return repr(value[:200]) + "…" * (len(value) > 200)
    if isinstance(value, int) and value.bit_length() > 1024:  # for huge integers, Python's repr raises ValueError
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, (int, float, type(None))):
        return repr(value)
    if isinstance(value, tuple) and len(value) <= 8 and all(isinstance(each, (int, str)) for each in value):
        return f"({', '.join(map(shown, value))}{',' * (len(value) == 1)})"
    return f"a {type(value).__name__}"


def exact(value: float) -> str:
    """Return the shortest text of a number that distinguishes it from all other numbers, such as "0.5" or "1"."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def json_type(value: Any) -> str:
    """Return the JSON type of a parsed value as text, such as "an object"."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def warn_once(logger: logging.Logger, message: str, level: int = logging.WARNING) -> None:
    """Log a message, unless this process has already logged the same message."""
    for messages in _collectors:
        messages.append(message)
    if message not in _already_logged:
        _already_logged.add(message)
        logger.log(level, message)


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Yield a list of all messages that ``warn_once`` receives within this context, including repeated messages."""
    messages: list[str] = []
    _collectors.append(messages)
    try:
        yield messages
    finally:
        _collectors.pop()
