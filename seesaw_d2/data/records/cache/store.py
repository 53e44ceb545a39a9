"""Where compiled annotation files lie: one folder for each content, written once, then only mapped.

The folder is ``annotations`` below ``$SEESAW_D2_CACHE``, by default ``$XDG_CACHE_HOME/seesaw_d2`` or
``~/.cache/seesaw_d2``. An empty ``SEESAW_D2_CACHE`` switches it off. What is there is never believed: a folder is used
only if it was made by this version of the format and of the code that reads and checks, for this content, and every
file in it has the size that it says. Folders that nobody has used for long go when another is made (``tidy``).
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from seesaw_d2.data.images import files as image_files
from seesaw_d2.data.records import (
    annotation_checks as checks,
)
from seesaw_d2.data.records import (
    annotation_files as annotations,
)
from seesaw_d2.data.records import (
    box_and_mask_checks as shapes,
)
from seesaw_d2.data.records import (
    box_masks,
    box_readings,
    boxes,
    run_lengths,
)
from seesaw_d2.data.records.annotation_files import AnnotationFile, read_annotations
from seesaw_d2.data.records.cache import arrays as tables
from seesaw_d2.data.records.cache import fast_path as simple
from seesaw_d2.data.records.cache import parallel_parsing as parts
from seesaw_d2.data.records.cache.arrays import ARRAYS, MappedTables, Tables
from seesaw_d2.data.records.cache.cleanup import UNFINISHED, tidy, used
from seesaw_d2.data.records.cache.lazy_dicts import CompiledRecords
from seesaw_d2.data.records.cache.parallel_parsing import read_tables
from seesaw_d2.data.records.json_files import fingerprint, no_garbage_collection
from seesaw_d2.errors import DataError
from seesaw_d2.utils.file_locks import lock_or_wait
from seesaw_d2.utils.malloc import give_back_freed_memory
from seesaw_d2.utils.messages import collected_warnings, first_few, warn_once

logger = logging.getLogger(__name__)

# Bytes of an annotation file from which on it is compiled; below, parsing takes a second.
MIN_SIZE = 50_000_000
VERSION = 1  # of the format
# What decides what is made of a file: where one of them has changed, it is made anew, in another folder.
_READERS = (
    annotations,
    box_masks,
    box_readings,
    boxes,
    checks,
    image_files,
    parts,
    run_lengths,
    shapes,
    simple,
    tables,
)
_META = "meta.json"
_opened: dict[tuple, "CompiledFile"] = {}


@dataclass(frozen=True, eq=False)
class CompiledFile:
    """A checked annotation file without its entries; see ``AnnotationFile``."""

    path: str
    format: str
    category_ids: list[int]
    category_names: list[str]
    has_annotations: bool
    tables: Tables

    def to_dataset_dicts(self, image_root: str, contiguous_ids: dict[int, int] | None = None) -> CompiledRecords:
        """As ``AnnotationFile.to_dataset_dicts``, each record made when it is asked for."""
        contiguous = contiguous_ids or {value: index for index, value in enumerate(self.category_ids)}
        category = self.tables["category"]
        stretches = np.array_split(category, len(category) // 1_000_000 + 1)
        found = np.flatnonzero(sum(np.bincount(each, minlength=len(self.category_ids)) for each in stretches)).tolist()
        unknown = [self.category_ids[index] for index in found if self.category_ids[index] not in contiguous]
        if unknown:
            raise DataError(f"{self.path}: categories without an index: ids {first_few(unknown)}")
        categories = np.array([contiguous.get(value, -1) for value in self.category_ids])
        return CompiledRecords(self.tables, image_root, categories, has_annotations=self.has_annotations)


def open_annotations(path: str, dataset_format: str = "auto") -> AnnotationFile | CompiledFile:
    """Read and check an annotation file; a large one from what an earlier call has made of it.

    Args:
        path, dataset_format: as in ``read_annotations``.

    Raises:
        DataError: as ``read_annotations``.
    """
    cache = cache_folder()
    if cache is None or not os.path.isfile(path) or os.path.getsize(path) < MIN_SIZE:
        return read_annotations(path, dataset_format)
    seen = (os.path.abspath(path), dataset_format, fingerprint(path))
    if seen not in _opened:
        try:
            folder = os.path.join(cache, _key(path, dataset_format))
        except OSError:
            return read_annotations(path, dataset_format)  # which says what is wrong with the file
        _opened[seen] = _from_cache(path, dataset_format, folder, seen[-1])
    return _opened[seen]


def cache_folder() -> str | None:
    """The folder of compiled files; None where there is to be none."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    root = os.environ.get("SEESAW_D2_CACHE", os.path.join(home, "seesaw_d2"))
    return os.path.join(os.path.abspath(root), "annotations") if root else None


def _from_cache(path: str, dataset_format: str, folder: str, state: tuple | None) -> CompiledFile:
    """``state`` is the file's ``fingerprint`` before its content was looked at."""
    found = _load(folder, path)
    if found is not None:
        return found
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        # Of processes that start together one compiles; the others wait for what it makes.
        with _locked(f"{folder}.lock"):
            return _load(folder, path) or _compile(path, dataset_format, folder, state)
    except OSError as error:  # a read-only folder: this process alone, then
        _warn_not_kept(path, folder, error)
        return _compile(path, dataset_format, None, state)


def _warn_not_kept(path: str, folder: str, error: OSError) -> None:
    warn_once(
        logger,
        f"{os.path.dirname(folder)}: {error.strerror or error}: the compiled annotations of {path} are not kept, and "
        "every process parses it for itself; SEESAW_D2_CACHE names another folder",
    )


@functools.cache
def _readers() -> str:
    """A digest of the code that reads and checks annotation files."""
    digest = hashlib.sha256()
    for module in _READERS:
        with contextlib.suppress(OSError, TypeError), open(module.__file__, "rb") as file:  # not of a zipped package
            digest.update(file.read())
    return digest.hexdigest()


def _key(path: str, dataset_format: str) -> str:
    """What a compiled file is named by: content, and how it is read."""
    digest = hashlib.sha256(f"{VERSION} {_readers()} {dataset_format}\n".encode())
    with open(path, "rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()[:32]


def _compile(path: str, dataset_format: str, folder: str | None, state: tuple | None) -> CompiledFile:
    """Parse, and write the arrays to the folder; None keeps them in memory.

    A file that has changed since it was in ``state`` is not what the folder is named by, and is not kept either.
    """
    logger.info(f"{path}: parsing and checking; the next start will take what is made of it from {folder}")
    with no_garbage_collection(), collected_warnings() as warnings:
        file, tables = read_tables(path, dataset_format)
        tables = {key: np.ascontiguousarray(value, ARRAYS[key]) for key, value in tables.items()}
    meta = {
        "version": VERSION,
        "path": path,
        "format": file.format,
        "category_ids": file.category_ids,
        "category_names": file.category_names,
        "has_annotations": file.annotations is not None,
        "warnings": warnings,
        "shapes": {key: list(array.shape) for key, array in tables.items()},
    }
    if folder is not None and fingerprint(path) == state:
        del file
        try:
            _write(folder, meta, tables)
            mapped = _load(folder, path)
            if mapped is not None:
                del tables
                give_back_freed_memory()
                return mapped
        except OSError as error:  # a full disk
            _warn_not_kept(path, folder, error)
    return _compiled_file(meta, path, tables)


def _write(folder: str, meta: dict[str, Any], tables: Tables) -> None:
    """All at once: under another name, then renamed."""
    temporary = tempfile.mkdtemp(dir=os.path.dirname(folder), prefix=UNFINISHED)
    try:
        for key, array in tables.items():
            with _written(temporary, f"{key}.npy") as file:
                np.save(file, array, allow_pickle=False)
        with _written(temporary, _META) as file:
            file.write(json.dumps(meta).encode())
        shutil.rmtree(folder, ignore_errors=True)  # what was there could not be used
        os.rename(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    tidy(os.path.dirname(folder))


@contextlib.contextmanager
def _written(folder: str, name: str) -> Iterator[IO[bytes]]:
    """A new file that is on the disk at the end: after a crash of the machine the folder's new name could stand, and
    pages of zeros below it, which have the right sizes."""
    with open(os.path.join(folder, name), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _load(folder: str, path: str) -> CompiledFile | None:
    """The compiled file of a folder; None if it is not there, torn, or something else."""
    try:
        with open(os.path.join(folder, _META)) as file:
            meta = json.load(file)
        tables = MappedTables(folder)
        shapes = {key: list(array.shape) for key, array in tables.items()}
        if meta["version"] != VERSION or meta["shapes"] != shapes or not _consistent(tables):
            return None
        found = _compiled_file(meta, path, tables)
        warnings = [message.replace(meta["path"], path) for message in meta["warnings"]]
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None
    used(folder)
    for message in warnings:
        warn_once(logger, message)
    return found


def _compiled_file(meta: dict[str, Any], path: str, tables: Tables) -> CompiledFile:
    fields = (meta[key] for key in ("format", "category_ids", "category_names", "has_annotations"))
    return CompiledFile(path, *fields, tables)


def _consistent(tables: Tables) -> bool:
    """Whether what the ends point to is there, so that no index leads outside."""
    pairs = [("name_end", "names"), ("object_end", "category"), ("part_end", "polygon_end")]
    pairs += [("polygon_end", "coordinates"), ("runs_end", "runs")]
    return all(int(tables[ends][-1] if len(tables[ends]) else 0) == len(tables[of]) for ends, of in pairs)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Alone among processes; the lock of one that died is free."""
    with open(path, "a") as file:
        lock_or_wait(file)
        yield
