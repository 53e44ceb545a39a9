"""Folders of compiled annotation files: written, checked when they are loaded, and removed when they are unused."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from seesaw_d2.data.records.cache.arrays import ARRAYS, Tables
from seesaw_d2.utils.file_locks import lock_or_wait

VERSION = 1  # of the format
# Prefix of folders that are not complete yet.
UNFINISHED = "tmp-"
# Seconds after which a folder counts as unused, and an incomplete one as left behind by a killed process.
_UNUSED, _ABANDONED = 60 * 24 * 3600, 24 * 3600
_META = "meta.json"


class MappedTables(dict):
    """The arrays of a folder, mapped into memory. Pickling it stores the folder's name only."""

    def __init__(self, folder: str):
        self._folder = folder
        for key, kind in ARRAYS.items():
            array = np.load(os.path.join(folder, f"{key}.npy"), mmap_mode="r", allow_pickle=False)
            if array.dtype != np.dtype(kind):
                raise ValueError(f"{folder}: {key}: expected {kind}, found {array.dtype}")
            self[key] = array.view(np.ndarray)  # slicing an np.memmap is slower

    def __reduce__(self):
        return MappedTables, (self._folder,)


def write_folder(folder: str, meta: dict[str, Any], tables: Tables) -> None:
    """Write the arrays and their description, under a temporary name first.

    Raises:
        OSError: the folder cannot be written.
    """
    meta = {**meta, "version": VERSION, "shapes": _shapes(tables)}
    temporary = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=UNFINISHED)
    try:
        for key, array in tables.items():
            with _written(temporary, f"{key}.npy") as file:
                np.save(file, array, allow_pickle=False)
        with _written(temporary, _META) as file:
            file.write(json.dumps(meta).encode())
        shutil.rmtree(folder, ignore_errors=True)  # the folder cannot be created or written
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    tidy(os.path.dirname(folder))


def load_folder(folder: str) -> tuple[dict[str, Any], Tables] | None:
    """Return the description and the arrays of a folder, None if it is missing, damaged or of another version."""
    try:
        with open(os.path.join(folder, _META)) as file:
            meta = json.load(file)
        tables = MappedTables(folder)
        if meta["version"] != VERSION or meta["shapes"] != _shapes(tables) or not _consistent(tables):
            return None
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
    with contextlib.suppress(OSError):  # a folder without write permission is not removed either
        os.utime(folder)
    return meta, tables


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Hold the lock of a folder. The lock of a dead process is free."""
    with open(f"{folder}.lock", "a") as file:
        lock_or_wait(file)
        yield


def tidy(cache: str) -> None:
    """Remove folders that were not used for 60 days and incomplete ones older than a day. Ignore errors."""
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(cache) as entries:
        for entry in entries:
            age = _ABANDONED if entry.name.startswith(UNFINISHED) else _UNUSED
            if entry.is_dir(follow_symlinks=False) and now - entry.stat().st_mtime > age:
                shutil.rmtree(entry.path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(f"{entry.path}.lock")


@contextlib.contextmanager
def _written(folder: str, name: str) -> Iterator[IO[bytes]]:
    """Open a new file and flush it to the disk at the end.

    Without the flush, a crash of the machine could leave a renamed folder with files of zeros.
    """
    with open(os.path.join(folder, name), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _shapes(tables: Tables) -> dict[str, list[int]]:
    return {key: list(array.shape) for key, array in tables.items()}


def _consistent(tables: Tables) -> bool:
    """Return whether all ends are the lengths of the arrays that they index."""
    pairs = [("name_end", "names"), ("object_end", "category"), ("part_end", "polygon_end")]
    pairs += [("polygon_end", "coordinates"), ("runs_end", "runs")]
    return all(int(tables[ends][-1] if len(tables[ends]) else 0) == len(tables[of]) for ends, of in pairs)
