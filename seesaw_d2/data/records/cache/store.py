"""Open annotation files. Small files are kept in memory. Large files are compiled to memory-mapped arrays on disk.

The environment variable SEESAW_D2_CACHE sets the cache folder. The default is ``$XDG_CACHE_HOME/seesaw_d2`` or
``~/.cache/seesaw_d2``. If the variable is empty, no file is compiled. Compiled files are stored in the subfolder
``annotations``. The name of a compiled file is a hash of the annotation file and of the code that reads and checks
annotation files. Therefore a file is compiled again when the file or the code changes.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from seesaw_d2.data.records.annotation_files import AnnotationChecker, AnnotationFile, read_annotations, read_header
from seesaw_d2.data.records.cache import entry_files
from seesaw_d2.data.records.cache.encoding import Part, Tables, to_tables
from seesaw_d2.data.records.cache.lazy_dicts import CompiledFile
from seesaw_d2.data.records.cache.parallel_parsing import UnusualFileError, cut_file, read_parts
from seesaw_d2.data.records.cache.part_reading import encode, read_part
from seesaw_d2.data.records.formats import AUTO, find_format
from seesaw_d2.errors import DataError
from seesaw_d2.utils.json_reading import fingerprint, no_garbage_collection
from seesaw_d2.utils.malloc import give_back_freed_memory
from seesaw_d2.utils.messages import collected_warnings, warn_once
from seesaw_d2.utils.regular_files import open_regular, read_blocks

logger = logging.getLogger(__name__)

# Annotation files of at least this size in bytes are compiled to arrays on disk. Smaller files are parsed in about a
# second. They are kept in memory, up to the same number of bytes in total.
MIN_SIZE = 50_000_000
# A file is kept in memory only if its last change is at least this number of seconds ago. A younger file could change
# again without a new modification time, and the content in memory would be outdated.
_SETTLED = 1.0
# Folder with the code that reads annotation files. Compiled files become invalid if this code changes.
_RECORDS = Path(__file__).parents[1]

# Cache of opened files and of the warnings about each file. The oldest file comes first. A key contains "compiled" or
# "whole", the path, the format, and (modification time, size) of the file.
_opened: dict[tuple, tuple[AnnotationFile | CompiledFile, list[str]]] = {}


def open_annotations(path: str, dataset_format: str = AUTO) -> AnnotationFile | CompiledFile:
    """Read and check an annotation file, or return the content from an earlier call if the file has not changed.

    Args:
        path: path of the annotation file.
        dataset_format: "lvis", "coco" or another key of ``FORMATS``, or "auto" to detect the format.

    Returns:
        a ``CompiledFile``, which reads arrays on disk, for a file of at least 50 MB. An ``AnnotationFile`` for a
        smaller file, or if compiling is disabled.

    Raises:
        DataError: the file is missing or invalid.
    """
    cache, state = entry_files.cache_folder(), fingerprint(path)
    if state is None or state[1] < MIN_SIZE or cache is None or not os.path.isfile(path):
        return open_whole(path, dataset_format)
    key = ("compiled", os.path.abspath(path), dataset_format, state)
    if key not in _opened:
        try:
            entry = os.path.join(cache, _digest(path, dataset_format) + entry_files.SUFFIX)
        except OSError:
            return read_annotations(path, dataset_format)  # raises DataError, which says why ``path`` is unreadable
        with collected_warnings() as messages:
            file = _from_cache(path, dataset_format, entry, state)
        _opened[key] = file, messages
    return _take_opened(key)


def open_whole(path: str, dataset_format: str = AUTO) -> AnnotationFile:
    """Read and check an annotation file, without compiling it. Keep the content of small files in memory.

    Do not modify the returned images, categories and annotations, because all callers share them.

    Args:
        path: path of the annotation file.
        dataset_format: "lvis", "coco" or another key of ``FORMATS``, or "auto" to detect the format.

    Raises:
        DataError: the file is missing or invalid.
    """
    state = fingerprint(path)
    if state is None or state[1] >= MIN_SIZE or time.time() - state[0] / 1e9 < _SETTLED or not os.path.isfile(path):
        return read_annotations(path, dataset_format)
    key = ("whole", os.path.abspath(path), dataset_format, state)
    if key not in _opened:
        with collected_warnings() as messages:
            file = read_annotations(path, dataset_format)
        _make_room(state[1])
        _opened[key] = file, messages
    return _take_opened(key)


def _take_opened(key: tuple) -> Any:
    """Return the opened file with this key of ``_opened``. Pass its warnings to ``warn_once`` again.

    ``warn_once`` does not log a warning twice, but functions that collect warnings receive it each time.
    """
    file, messages = _opened[key]
    for message in messages:
        warn_once(logger, message)
    return file


def _make_room(size: int) -> None:
    """Remove the oldest files from memory, so that the rest and a new file of ``size`` bytes fit in 50 MB."""
    kept = [key for key in _opened if key[0] == "whole"]
    while kept and sum(state[1] for *_, state in kept) + size > MIN_SIZE:
        del _opened[kept.pop(0)]


def _from_cache(path: str, dataset_format: str, entry: str, state: tuple) -> CompiledFile:
    """Load the compiled file of an annotation file. If no usable compiled file exists, compile the annotation file.

    Args:
        path: path of the annotation file.
        dataset_format: format of the annotation file, or "auto".
        entry: path of the compiled file.
        state: modification time and size of the annotation file before it was hashed.
    """
    try:
        entry_files.make_private(os.path.dirname(entry))
        if found := _load(entry, path):
            return found
        # If several processes need the file at the same time, one process compiles the file, and the others wait for
        # it.
        with entry_files.locked(entry):
            return _load(entry, path) or _compile(path, dataset_format, entry, state)
    except OSError as error:  # for example, the folder is read-only
        _warn_not_kept(path, entry, error)
        return _compile(path, dataset_format, None, state)


def _warn_not_kept(path: str, entry: str, error: OSError) -> None:
    warn_once(
        logger,
        f"{os.path.dirname(entry)}: cannot store the compiled annotations of {path} ({error.strerror or error}). Every "
        "process will parse the file. To avoid this, set the environment variable SEESAW_D2_CACHE to another folder.",
    )


@functools.cache
def _code_digest() -> str:
    """Return a hash of the code that reads and checks annotation files. Skip source files that cannot be read."""
    digest = hashlib.sha256()
    data = _RECORDS.parent
    readers = [*_RECORDS.rglob("*.py"), *(data / "boxes_and_masks").glob("*.py"), data / "images" / "image_files.py"]
    readers += [data.parent / "utils" / name for name in ("json_reading.py", "repeated_keys.py")]
    readers += [data / "classification" / "labels.py"]
    for path in sorted(readers):
        with contextlib.suppress(OSError):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest(path: str, dataset_format: str) -> str:
    """Return the file name of a compiled file: a hash of the annotation file, its format and the code that reads it."""
    digest = xxhash.xxh3_128(f"{entry_files.VERSION} {_code_digest()} {dataset_format}\n".encode())
    with open_regular(path, "rb", buffering=0) as file:
        for block in read_blocks(file):
            digest.update(block)
    return digest.hexdigest()


def _compile(path: str, dataset_format: str, entry: str | None, state: tuple) -> CompiledFile:
    """Parse an annotation file, and store the arrays in the compiled file ``entry``.

    The arrays stay in memory if ``entry`` is None, or if the annotation file has changed since it was hashed. ``state``
    is its modification time and size before it was hashed.
    """
    later = f". Later runs load the result from {entry}" if entry else ""
    logger.info(f"{path}: parsing and checking the annotations{later}")
    with no_garbage_collection(), collected_warnings() as warnings:
        file, tables = read_tables(path, dataset_format)
    fields = {key: getattr(file, key) for key in ("format", "category_ids", "category_names")}
    if entry is not None and fingerprint(path) == state:
        del file
        try:
            entry_files.write_entry(entry, {"path": path, "fields": fields, "warnings": warnings}, tables)
            if mapped := _load(entry, path):
                del tables
                give_back_freed_memory()
                return mapped
        except OSError as error:  # for example, the disk is full
            _warn_not_kept(path, entry, error)
    return CompiledFile(path, **fields, tables=tables)


def _load(entry: str, path: str) -> CompiledFile | None:
    """Load the compiled file ``entry`` of the annotation file ``path``, and log its warnings again.

    Return None if the compiled file does not exist or cannot be used.
    """
    try:
        tables = entry_files.load_entry(entry)
    except entry_files.UnfitEntryError as error:
        warn_once(logger, f"{entry}: cannot use this file ({error}). The annotations of {path} are compiled again.")
        return None
    if tables is None:
        return None
    for message in tables.meta["warnings"]:
        warn_once(logger, message.replace(tables.meta["path"], path))
    return CompiledFile(path, **tables.meta["fields"], tables=tables)


def read_tables(path: str, dataset_format: str) -> tuple[AnnotationFile, Tables]:
    """Read and check an annotation file, and convert the content to arrays.

    Returns:
        the annotation file and the arrays. The list ``annotations`` of the annotation file may be empty, because the
        arrays contain all objects.

    Raises:
        DataError: the file is missing or invalid.
    """
    try:
        file, parts = _read_in_parts(path, dataset_format)
    except (UnusualFileError, DataError):
        # The file cannot be read in parts, so read it at once. If the file is invalid, the error message then lists the
        # invalid values of the whole file, not only of one part.
        file = read_annotations(path, dataset_format)
        ids = [image["id"] for image in file.images], file.category_ids
        parts = [encode(itertools.compress(file.annotations or [], file.has_area), *map(np.array, ids))]
    return file, to_tables(file, parts)


def _read_in_parts(path: str, dataset_format: str) -> tuple[AnnotationFile, list[Part]]:
    data, raw = cut_file(path)
    annotation_format = find_format(dataset_format, data, path)
    if annotation_format.convert is not None:
        raise UnusualFileError
    header = read_header(data, path, annotation_format)
    checker = AnnotationChecker(header)
    parts, found = [], []
    for texts, (part, findings) in read_parts(raw or [], functools.partial(read_part, checker), path):
        parts.append(part._replace(texts=texts) if part.texts is None else part)
        found.append(findings)
    checker.finish(found)
    return dataclasses.replace(header, annotations=None if raw is None else []), parts
