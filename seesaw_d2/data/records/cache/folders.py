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

VERSION = 2  # version of the format
# Prefix of folders that are not complete yet.
UNFINISHED = "tmp-"
# Seconds after which a folder counts as unused, and after which an incomplete folder counts as abandoned.
_UNUSED, _ABANDONED = 60 * 24 * 3600, 24 * 3600
# Seconds to wait for another process that compiles the same file. Then this process compiles it, too.
_LONGEST_COMPILATION = 1800
_META = "meta.json"
# Names of folders that this module creates: hashes, and names from ``tempfile``.
_ENTRY = re.compile(rf"[0-9a-f]{{32}}|{UNFINISHED}\w{{8}}", re.ASCII)


def cache_folder() -> str | None:
    """Return the folder of compiled files, or None if compiling is disabled."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    root = os.environ.get("SEESAW_D2_CACHE", os.path.join(home, "seesaw_d2"))
    return os.path.join(os.path.abspath(root), "annotations") if root else None


class MappedTables(dict):
    """Memory-mapped arrays of a folder. Pickling stores only the folder's name."""

    def __init__(self, folder: str):
        self._folder = folder
        for key in ARRAYS:
            array = np.load(os.path.join(folder, f"{key}.npy"), mmap_mode="r", allow_pickle=False)
            self[key] = array.view(np.ndarray)  # slicing an np.memmap is slower

    def __reduce__(self):
        return MappedTables, (self._folder,)


def write_folder(folder: str, meta: dict[str, Any], tables: Tables) -> None:
    """Atomically write the arrays and their description to a folder that only this user can read.

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
    """Return the description and the arrays of a folder, or None if it is missing.

    Raises:
        UnfitEntryError: the content differs from the content that ``write_folder`` wrote under this name.
    """
    if not os.path.lexists(folder):
        return None
    if os.path.islink(folder) or not os.path.isdir(folder):
        raise UnfitEntryError("a file or a link")
    if foreign := foreign_folder(folder):
        raise UnfitEntryError(foreign)
    try:
        meta = read_description(os.path.join(folder, _META))
        if differing := [key for key, value in _identity(folder, folder).items() if meta.get(key) != value]:
            raise UnfitEntryError(f"another {' and '.join(differing)} than in {_META}")
        tables = MappedTables(folder)
    except OSError as error:
        raise UnfitEntryError(f"{error.strerror} ({os.path.basename(error.filename or '')})") from None
    with contextlib.suppress(OSError):  # a folder without write permission is not removed either
        os.utime(folder)
    return meta, tables


def make_private(cache: str) -> None:
    """Create a folder that only this user can access.

    Raises:
        OSError: the folder cannot be created, or other users can write to it.
    """
    os.makedirs(os.path.dirname(cache), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(cache, mode=0o700)
    if foreign := foreign_folder(cache):
        raise PermissionError(
            errno.EACCES, f"expected a folder that only you can write to (chmod 700), found {foreign}"
        )


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold the lock of a folder in this block. The system releases the lock of a dead process."""
    if kind := irregular(f"{folder}.lock"):
        raise OSError(errno.EINVAL, f"expected a lock file, found {kind}")
    with open(f"{folder}.lock", "a") as file:
        lock_or_wait(file, _LONGEST_COMPILATION)
        yield


def tidy(cache: str) -> None:
    """Remove entries that were not used for 60 days and incomplete ones older than a day. Ignore errors."""
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
    """Return whether the name and the files of a folder show that this module created it."""
    if not _ENTRY.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
        return False
    return {_META, *(f"{key}.npy" for key in ARRAYS)}.issuperset(os.listdir(entry.path))


@contextlib.contextmanager
def _written(folder: str, name: str) -> Iterator[IO[bytes]]:
    """Open a new file and sync it to the disk at the end.

    Without the sync, a crash of the machine could leave a renamed folder with files of zeros.
    """
    with open(os.path.join(folder, name), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _identity(folder: str, written: str) -> dict[str, Any]:
    """Return the values that identify an entry: version, name, and checksums of its arrays in ``written``."""
    sums = {key: file_checksum(os.path.join(written, f"{key}.npy")) for key in ARRAYS}
    return {"version": VERSION, "name": os.path.basename(folder), "checksums": sums}


def _remove(folder: str) -> None:
    """Remove an unusable entry if it exists. Ignore errors, because it may belong to another user."""
    if os.path.isdir(folder) and not os.path.islink(folder):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(folder)
