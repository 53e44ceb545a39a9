"""Write, load, check and remove the folders of compiled annotation files."""

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from seesaw_d2.data.records.cache.arrays import ARRAYS, Tables
from seesaw_d2.data.records.cache.entry_checks import (
    UnfitEntryError,
    checked_description,
    file_checksum,
    foreign_folder,
    read_description,
)
from seesaw_d2.utils.file_locks import lock_or_wait
from seesaw_d2.utils.regular_files import irregular

VERSION = 2  # version of the file format
# Prefix of incomplete folders.
UNFINISHED = "tmp-"
# Age in seconds at which ``tidy`` removes unused folders and incomplete folders.
_UNUSED, _ABANDONED = 60 * 24 * 3600, 24 * 3600
# Maximum time in seconds to wait for another process that compiles the same file. After this time, this process also
# compiles the file.
_LONGEST_COMPILATION = 1800
_META = "meta.json"
# Names of folders that this module creates. A name is a hash, or the prefix and 8 random characters of ``tempfile``.
_ENTRY = re.compile(rf"[0-9a-f]{{32}}|{UNFINISHED}\w{{8}}", re.ASCII)


def cache_folder() -> str | None:
    """Return the folder of compiled files, or None if SEESAW_D2_CACHE is empty, which disables compiling."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    root = os.environ.get("SEESAW_D2_CACHE", os.path.join(home, "seesaw_d2"))
    return os.path.join(os.path.abspath(root), "annotations") if root else None


class MappedTables(dict):
    """Dict from name to memory-mapped array of a compiled file. Pickling stores only the path of the folder."""

    def __init__(self, folder: str):
        self._folder = folder
        for key in ARRAYS:
            array = np.load(os.path.join(folder, f"{key}.npy"), mmap_mode="r", allow_pickle=False)
            self[key] = array.view(np.ndarray)  # slicing np.memmap objects is slower

    def __reduce__(self):
        return MappedTables, (self._folder,)


def write_folder(folder: str, meta: dict[str, Any], tables: Tables) -> None:
    """Write a compiled file atomically, with permissions for this user only. Then call ``tidy``.

    Args:
        folder: folder of the compiled file.
        meta: description of the compiled file, a dict of JSON values.
        tables: arrays of the compiled file, see ``arrays.ARRAYS``.

    Raises:
        OSError: the folder cannot be written.
    """
    temporary = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=UNFINISHED)
    try:
        for key, array in tables.items():
            with _written(temporary, f"{key}.npy") as file:
                np.save(file, array, allow_pickle=False)
        with _written(temporary, _META) as file:
            file.write(json.dumps(checked_description({**meta, **_identity(folder, temporary)})).encode())
        _remove(folder)
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    tidy(os.path.dirname(folder))


def load_folder(folder: str) -> tuple[dict[str, Any], Tables] | None:
    """Return the description and the arrays in a folder, or None if the folder does not exist.

    Raises:
        UnfitEntryError: other users can write to the folder, or its files differ from the output of ``write_folder``.
    """
    if not os.path.lexists(folder):
        return None
    if os.path.islink(folder) or not os.path.isdir(folder):
        raise UnfitEntryError("a file or a link instead of a folder")
    if foreign := foreign_folder(folder):
        raise UnfitEntryError(foreign)
    try:
        meta = read_description(os.path.join(folder, _META))
        if differing := [key for key, value in _identity(folder, folder).items() if meta.get(key) != value]:
            raise UnfitEntryError(f"files that do not match the {' and '.join(differing)} in {_META}")
        tables = MappedTables(folder)
    except OSError as error:
        raise UnfitEntryError(
            f"an unreadable file {os.path.basename(error.filename or '')} ({error.strerror})"
        ) from None
    with contextlib.suppress(OSError):  # fails without write permission, and then ``tidy`` cannot remove the folder
        os.utime(folder)
    return meta, tables


def make_private(cache: str) -> None:
    """Create a folder that only this user can access, or check an existing folder.

    Raises:
        OSError: the folder cannot be created, or other users can write to it.
    """
    os.makedirs(os.path.dirname(cache), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(cache, mode=0o700)
    if foreign := foreign_folder(cache):
        raise PermissionError(
            errno.EACCES,
            f"expected a folder to which only the owner can write, found {foreign}. Run chmod 700 on this folder",
        )


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold an exclusive lock of a folder in a block. If the process dies, the operating system releases the lock."""
    if kind := irregular(f"{folder}.lock"):
        raise OSError(errno.EINVAL, f"{folder}.lock: expected a regular file, found {kind}")
    with open(f"{folder}.lock", "a") as file:
        lock_or_wait(file, _LONGEST_COMPILATION)
        yield


def tidy(cache: str) -> None:
    """Remove compiled files that were not used for 60 days, and incomplete files older than a day. Ignore errors."""
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(cache) as entries:
        for entry in entries:
            age = _ABANDONED if entry.name.startswith(UNFINISHED) else _UNUSED
            if not _is_entry(entry):
                continue
            if now - entry.stat().st_mtime > age:
                shutil.rmtree(entry.path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(f"{entry.path}.lock")


def _is_entry(entry: os.DirEntry) -> bool:
    """Return whether this module created a folder, judged by the names of the folder and its files."""
    if not _ENTRY.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
        return False
    return {_META, *(f"{key}.npy" for key in ARRAYS)}.issuperset(os.listdir(entry.path))


@contextlib.contextmanager
def _written(folder: str, name: str) -> Iterator[IO[bytes]]:
    """Open a new file, and sync the file to the disk at the end of the block.

    Without the sync, files could contain only zeros after the folder is renamed and the machine crashes.
    """
    with open(os.path.join(folder, name), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _identity(folder: str, written: str) -> dict[str, Any]:
    """Return the format version, the name and the checksums of the arrays, which identify a compiled file.

    Args:
        folder: final folder of the compiled file.
        written: folder that currently contains the arrays.
    """
    sums = {key: file_checksum(os.path.join(written, f"{key}.npy")) for key in ARRAYS}
    return {"version": VERSION, "name": os.path.basename(folder), "checksums": sums}


def _remove(folder: str) -> None:
    """Remove an unusable compiled file if it exists. Ignore errors, because the file may belong to another user."""
    if os.path.isdir(folder) and not os.path.islink(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(folder)
