"""Checks of a compiled annotation file before it is used: its owner, its permissions and the checksums of its files.

The checksums find damage and entries that belong to other annotation files. They do not stop someone who can write to
the folder, so folders that other users can write to are not used.
"""

import json
import os
import stat
import zlib
from typing import Any

import numpy as np

from seesaw_d2.utils.regular_files import irregular, open_regular

_MAX_DESCRIPTION = 1 << 26  # bytes


class UnfitEntryError(Exception):
    """The entry is damaged, or belongs to something else. The message says what was found."""


def foreign_folder(folder: str) -> str:
    """Return why other users may have written to a folder; "" if it is private or does not exist.

    It must belong to this user or to root, and no other user may write to it. On Windows it is not checked.
    """
    if not hasattr(os, "geteuid") or not os.path.lexists(folder):
        return ""
    status = os.stat(folder)
    if status.st_uid not in (os.geteuid(), 0):
        return f"a folder of user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"one that other users can write to (mode {stat.S_IMODE(status.st_mode):o})"
    return ""


def file_checksum(path: str) -> int:
    """Return the CRC-32 of a file's content.

    Raises:
        UnfitEntryError: it is no regular file. OSError: it cannot be read.
    """
    if kind := irregular(path):
        raise UnfitEntryError(f"{os.path.basename(path)} is {kind}")
    return zlib.crc32(np.memmap(path, np.uint8, mode="r")) if os.path.getsize(path) else 0


def checked_description(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description of an entry with its own checksum."""
    return {**description, "checksum": _checksum(description)}


def read_description(path: str) -> dict[str, Any]:
    """Return what ``checked_description`` wrote.

    Raises:
        UnfitEntryError: it has changed since. OSError: it cannot be read.
    """
    name = os.path.basename(path)
    if kind := irregular(path):
        raise UnfitEntryError(f"{name} is {kind}")
    if os.path.getsize(path) > _MAX_DESCRIPTION:
        raise UnfitEntryError(f"{name} has more than {_MAX_DESCRIPTION} bytes")
    try:
        with open_regular(path, "r", encoding="utf-8") as file:
            description = json.load(file)
        checksum = description.pop("checksum")
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise UnfitEntryError(f"{name} is no description of an entry") from None
    if checksum != _checksum(description):
        raise UnfitEntryError(f"{name} does not have its checksum")
    return description


def _checksum(description: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(description, sort_keys=True).encode())
