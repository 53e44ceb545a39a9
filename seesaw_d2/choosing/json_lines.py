"""Files of JSON lines, to which an interrupted program appends after it was started again."""

import json
import os
from pathlib import Path
from typing import Any

from seesaw_d2.errors import DataError, OutputError


def complete_lines(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Return the values of the complete lines, [] if there is no file. A killed process leaves an incomplete last line.

    Raises:
        DataError: a complete line is not JSON, or the file cannot be read.
    """
    if not os.path.lexists(path):
        return []
    try:
        return [json.loads(line) for line in _complete(Path(path).read_bytes()).splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(path)}: expected a JSON value in each line, found {error}") from error


def cut_incomplete_line(path: str | os.PathLike) -> None:
    """Remove an incomplete last line, so that the next one starts a line."""
    if os.path.isfile(path):
        os.truncate(path, len(_complete(Path(path).read_bytes())))


def append_line(path: str | os.PathLike, value: dict[str, Any]) -> None:
    """Append ``value`` to the file as one line of JSON.

    Raises:
        OutputError: the disk is full, or the file cannot be written.
    """
    try:
        with open(path, "a") as file:
            file.write(json.dumps(value) + "\n")
    except OSError as error:
        raise OutputError(f"{os.fspath(path)}: cannot be written: {error.strerror}") from error


def _complete(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
