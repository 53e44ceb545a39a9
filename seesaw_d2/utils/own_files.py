"""Recognise files that this project wrote, so that programs replace and remove no others."""

import os
from pathlib import Path

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.regular_files import irregular


def is_plain_file(path: str | os.PathLike) -> bool:
    """Return whether the path itself is a regular file: no link, folder, pipe or device."""
    return os.path.isfile(path) and not os.path.islink(path)


def check_replaceable(path: str | os.PathLike, mark: str, kind: str) -> None:
    """Raise ConfigError unless the file can be written: it does not exist, or it contains ``mark``.

    Args:
        path: the file.
        mark: text that only files of this kind contain.
        kind: description of them, for the message.
    """
    if not os.path.lexists(path):
        return
    found = "a link" if os.path.islink(path) else irregular(os.fspath(path))
    if found is None:
        with open(path, "rb") as file:
            found = "" if mark.encode() in file.read() else "another file, which is not replaced"
    if found:
        raise ConfigError(f"{os.fspath(path)}: expected {kind} or no file, found {found}")


def holds_other(path: Path, text: str) -> bool:
    """Return whether there is a file with another text.

    Raises:
        ConfigError: there is a folder, a link or the like.
    """
    if not os.path.lexists(path):
        return False
    if not is_plain_file(path):
        raise ConfigError(f"--output: {path}: expected a file or nothing, found {irregular(str(path)) or 'a link'}")
    return path.read_bytes() != text.encode()
