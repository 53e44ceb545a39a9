"""Read and extend files with one JSON value per line, from which an interrupted program can resume."""

import json
import os
from pathlib import Path
from typing import Any

from seesaw_d2.errors import DataError, OutputError
from seesaw_d2.utils.messages import shown


def complete_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Return the JSON objects in a file with one object per line, or [] if the file does not exist.

    An incomplete last line, which a killed process may leave, is ignored.

    Raises:
        DataError: the file cannot be read, or a complete line is not a JSON object.
    """
    if not os.path.lexists(path):
        return []
    try:
        found = [json.loads(line) for line in _complete(Path(path).read_bytes()).splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{os.fspath(path)}: expected a file with a JSON object in each line. Reading it raised an error: {error}"
        ) from error
    for number, value in enumerate(found, 1):
        if not isinstance(value, dict):
            raise DataError(f"{os.fspath(path)}: line {number}: expected a JSON object, found {shown(value)}")
    return found


def cut_incomplete_line(path: str | os.PathLike) -> None:
    """Remove an incomplete last line, which a killed process may leave, so that ``append_line`` starts a new line."""
    if os.path.isfile(path):
        os.truncate(path, len(_complete(Path(path).read_bytes())))


def append_line(path: str | os.PathLike, value: dict[str, Any]) -> None:
    """Append ``value`` to the file as one line of JSON. Raise OutputError if the file cannot be written."""
    try:
        with open(path, "a") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        raise OutputError(f"{os.fspath(path)}: the file cannot be written: {error.strerror}") from error


def _complete(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
