"""Check the owner, permissions and checksums of a compiled annotation file before loading it.

Checksums detect damaged files. They do not detect attacks, because an attacker can compute valid checksums. Therefore
folders to which other users can write are not used.
"""

import json
import os
import stat
import zlib
from typing import Any

import numpy as np

from seesaw_d2.utils.regular_files import irregular, open_regular

_MAX_DESCRIPTION = 1 << 26  # maximum size of a description in bytes


class UnfitEntryError(Exception):
    """A compiled file is damaged or belongs to another annotation file. The message describes the problem."""


def foreign_folder(folder: str) -> str:
    """Return the reason why other users can write to a folder, or "" if the folder is private or does not exist.

    A private folder belongs to this user or to root, and other users have no write permission. The group of the folder
    may have write permission if it is the user's private group, as on many Linux systems with umask 002. On Windows,
    the result is always "".
    """
    if not hasattr(os, "geteuid") or not os.path.lexists(folder):
        return ""
    status = os.stat(folder)
    if status.st_uid not in (os.geteuid(), 0):
        return f"a folder of the user with id {status.st_uid}"
    by_group = status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid)
    if by_group or status.st_mode & stat.S_IWOTH:
        return f"a folder that other users can write to (mode {stat.S_IMODE(status.st_mode):o})"
    return ""


def _is_private_group(group: int) -> bool:
    """Return whether a group is this user's primary group, has the user's name, and has no other members."""
    import grp  # not at the top of the file, because Windows lacks both modules
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:  # In containers, users and groups can lack a name.
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and not {*found.gr_mem} - {user.pw_name}


def file_checksum(path: str) -> int:
    """Return the CRC-32 of a file's content.

    Raises:
        UnfitEntryError: the path is not a regular file.
        OSError: the file cannot be read.
    """
    if kind := irregular(path):
        raise UnfitEntryError(f"{kind} instead of the file {os.path.basename(path)}")
    return zlib.crc32(np.memmap(path, np.uint8, mode="r")) if os.path.getsize(path) else 0


def checked_description(description: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a compiled file with an added checksum of the description."""
    return {**description, "checksum": _checksum(description)}


def read_description(path: str) -> dict[str, Any]:
    """Read a description that ``checked_description`` created.

    Raises:
        UnfitEntryError: the file is not a description of a compiled file, or the checksum is wrong.
        OSError: the file cannot be read.
    """
    name = os.path.basename(path)
    if kind := irregular(path):
        raise UnfitEntryError(f"{kind} instead of the file {name}")
    if os.path.getsize(path) > _MAX_DESCRIPTION:
        raise UnfitEntryError(f"a file {name} with more than {_MAX_DESCRIPTION} bytes")
    try:
        with open_regular(path, "r", encoding="utf-8") as file:
            description = json.load(file)
        checksum = description.pop("checksum")
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise UnfitEntryError(f"a file {name} with unknown content") from None
    if checksum != _checksum(description):
        raise UnfitEntryError(f"a file {name} that does not match its checksum")
    return description


def _checksum(description: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(description, sort_keys=True).encode())
