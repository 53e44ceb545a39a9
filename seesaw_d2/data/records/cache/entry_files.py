"""Write, load, check and remove compiled annotation files.

A compiled file stores the content of an annotation file in arrays. It consists of a checksum, the length of the
description, the description as JSON, and the arrays. The checksum detects damaged files, but not manipulated files,
because an attacker could compute a valid checksum. Therefore a file is not used if other users can write to it.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import xxhash

from seesaw_d2.data.records.cache.encoding import Tables
from seesaw_d2.utils.file_locks import lock_or_wait
from seesaw_d2.utils.regular_files import irregular, open_regular, read_blocks

VERSION = 4  # version of the file format. Increase it after a change of the format, to compile all files again
SUFFIX = ".records"
# Names of incomplete files begin with this prefix. ``write_entry`` gives a file its final name when it is complete.
_UNFINISHED = "tmp-"
# Matches the names of files that this module creates, so that ``tidy`` removes no other files. A complete file is named
# by a hash and the suffix. An incomplete file is named by the prefix, 8 random characters and the suffix. Earlier
# versions created folders, whose names lack the suffix.
_ENTRY = re.compile(rf"(?:[0-9a-f]{{32}}|{_UNFINISHED}\w{{8}})({re.escape(SUFFIX)})?", re.ASCII)
# ``tidy`` removes files that were not used for _UNUSED seconds (60 days), and incomplete files after _ABANDONED seconds
# (a day).
_UNUSED, _ABANDONED = 60 * 24 * 3600, 24 * 3600
# If another process compiles the same annotation file, this process waits for at most this number of seconds. Then it
# also compiles the file.
_LONGEST_COMPILATION = 1800
# A compiled file begins with two numbers of this size in bytes: the checksum, and the length of the description that
# follows. Spaces after the description make its size a multiple of this number, to align the arrays.
_NUMBER = 8


class UnfitEntryError(Exception):
    """Raised if a compiled annotation file cannot be used. The message is the reason."""


def cache_folder() -> str | None:
    """Return the folder of compiled annotation files, or None if SEESAW_D2_CACHE is empty, which disables compiling.

    SEESAW_D2_CACHE is an environment variable. By default, the folder is in ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    root = os.environ.get("SEESAW_D2_CACHE", os.path.join(home, "seesaw_d2"))
    return os.path.join(os.path.abspath(root), "annotations") if root else None


class MappedTables(dict):
    """Dict from name to memory-mapped array of a compiled annotation file. Pickling stores only the file's path.

    Args:
        path: path of the compiled file.

    Attributes:
        meta: description of the file, the argument ``meta`` of ``write_entry`` plus the file's own name as "name".
    """

    def __init__(self, path: str):
        self._path = path
        data = np.memmap(path, np.uint8, mode="r").view(np.ndarray)  # as an ndarray, because slicing a memmap is slower
        start = 2 * _NUMBER + int(data[_NUMBER : 2 * _NUMBER].view("<i8")[0])
        self.meta, layout = json.loads(data[2 * _NUMBER : start].tobytes())
        for name, kind, size in layout:
            self[name] = data[start : start + size].view(kind)
            start += size

    def __reduce__(self):
        return MappedTables, (self._path,)


def write_entry(path: str, meta: dict[str, Any], tables: Tables) -> None:
    """Write a compiled annotation file, which only this user can access. Then remove old files (``tidy``).

    Other processes see either the complete file or no file.

    Args:
        path: path of the compiled file.
        meta: description of the compiled file, a dict of JSON values.
        tables: arrays with the names and data types of ``encoding.ARRAYS``.

    Raises:
        OSError: the file cannot be written.
    """
    # Write large data types first, so that each array starts at a multiple of the size of its data type.
    arrays = sorted(tables.items(), key=lambda item: -item[1].itemsize)
    layout = [(name, array.dtype.str, array.nbytes) for name, array in arrays]
    head = json.dumps([{**meta, "name": os.path.basename(path)}, layout]).encode()
    head += b" " * (-len(head) % _NUMBER)
    chunks = [len(head).to_bytes(_NUMBER, "little"), head, *(array.view(np.uint8) for _, array in arrays)]
    checksum = xxhash.xxh3_64()
    for chunk in chunks:
        checksum.update(chunk)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=_UNFINISHED, suffix=SUFFIX)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines([checksum.digest(), *chunks])
            file.flush()
            # Without fsync, the renamed file could contain only zeros after a crash of the machine.
            os.fsync(file.fileno())
        _remove(path)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    tidy(os.path.dirname(path))


def load_entry(path: str) -> MappedTables | None:
    """Return the arrays in a compiled annotation file, or None if the file does not exist.

    Raises:
        UnfitEntryError: other users can write to the file, or the file differs from the output of ``write_entry``.
    """
    if not os.path.lexists(path):
        return None
    if kind := "a link" if os.path.islink(path) else irregular(path):
        raise UnfitEntryError(f"the path is {kind}, not a regular file")
    if foreign := foreign_owner(path):
        raise UnfitEntryError(foreign)
    try:
        with open_regular(path, "rb", buffering=0) as file:
            expected, checksum = file.read(_NUMBER), xxhash.xxh3_64()
            for block in read_blocks(file):
                checksum.update(block)
    except OSError as error:
        raise UnfitEntryError(f"the system cannot read the file ({error.strerror})") from None
    if expected != checksum.digest():
        raise UnfitEntryError("the content of the file does not match the checksum")
    tables = MappedTables(path)
    if tables.meta["name"] != os.path.basename(path):
        raise UnfitEntryError(f"the content belongs to another compiled file, {tables.meta['name']}")
    # Set the modification time to now, because ``tidy`` removes files that were not used for 60 days. Without write
    # permission, ``os.utime`` fails, which is harmless, because ``tidy`` cannot remove the file either.
    with contextlib.suppress(OSError):
        os.utime(path)
    return tables


def foreign_owner(path: str) -> str:
    """Explain why other users can write to a file or folder. Return "" if the path is private or missing.

    A path is private if it belongs to this user or to root, and other users have no write permission. The path's group
    may have write permission if this group is the user's private group, as on many Linux systems with umask 002. On
    Windows, the result is always "".
    """
    if not hasattr(os, "geteuid") or not os.path.lexists(path):
        return ""
    status = os.stat(path)
    kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
    if status.st_uid not in (os.geteuid(), 0):
        return f"the {kind} belongs to another user, with id {status.st_uid}"
    by_group = status.st_mode & stat.S_IWGRP and not _is_private_group(status.st_gid)
    if by_group or status.st_mode & stat.S_IWOTH:
        return f"other users can write to the {kind} (mode {stat.S_IMODE(status.st_mode):o})"
    return ""


def _is_private_group(group: int) -> bool:
    """Return True if ``group`` is the id of this user's private group.

    A private group is the user's primary group, has the user's name, and has no other members.
    """
    import grp  # imported inside the function, because Windows lacks the modules grp and pwd
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:  # in containers, a user or a group can lack a name
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and not {*found.gr_mem} - {user.pw_name}


def make_private(cache: str) -> None:
    """Create the folder ``cache``, which only this user can access, or check an existing folder.

    Raises:
        OSError: the folder cannot be created, or other users can write to the folder.
    """
    os.makedirs(os.path.dirname(cache), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(cache, mode=0o700)
    if foreign := foreign_owner(cache):
        raise PermissionError(errno.EACCES, f"{foreign}. The folder must belong to this user and have the mode 700")


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold an exclusive lock during a ``with`` block, so that only one process compiles an annotation file.

    The lock is the file ``{path}.lock``. It is released if the process dies. After half an hour of waiting, continue
    without the lock.

    Args:
        path: path of the compiled file.

    Raises:
        OSError: the lock file cannot be opened, or is not a regular file.
    """
    if kind := irregular(f"{path}.lock"):
        raise OSError(errno.EINVAL, f"{path}.lock: expected a regular file, found {kind}. Delete it")
    with open(f"{path}.lock", "a") as file:
        lock_or_wait(file, _LONGEST_COMPILATION)
        yield


def tidy(cache: str) -> None:
    """Remove old files from the folder ``cache`` of compiled files. Ignore errors.

    Old files are compiled files that were not used for 60 days, and incomplete files older than a day.
    """
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(cache) as found:
        for entry in found:
            age = _ABANDONED if entry.name.startswith(_UNFINISHED) else _UNUSED
            if _is_entry(entry) and now - entry.stat().st_mtime > age:
                _remove(entry.path)
                with contextlib.suppress(OSError):
                    os.unlink(f"{entry.path}.lock")


def _is_entry(entry: os.DirEntry) -> bool:
    """Return True if ``entry`` is a compiled file, or a folder of compiled arrays that an earlier version created."""
    name = _ENTRY.fullmatch(entry.name)
    if name is None or entry.is_symlink():
        return False
    if name[1]:
        return entry.is_file()
    return entry.is_dir() and all(each == "meta.json" or each.endswith(".npy") for each in os.listdir(entry.path))


def _remove(path: str) -> None:
    """Remove a file or folder if it exists. Ignore errors, because another user may own the file or folder."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)
