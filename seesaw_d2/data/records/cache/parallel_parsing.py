"""An annotation file made into arrays part by part, in worker processes: none holds the objects of more than one part.

Millions of annotations as Python objects are gigabytes of memory, which every check then reads again, and which the
process that made them would keep.
"""

import dataclasses
import itertools
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, UnsetType

from seesaw_d2.data.records.annotation_checks import entries
from seesaw_d2.data.records.annotation_files import AnnotationChecker, AnnotationFile, read_annotations, read_header
from seesaw_d2.data.records.box_and_mask_checks import Findings
from seesaw_d2.data.records.cache.arrays import Objects, Tables, header_tables, object_tables
from seesaw_d2.data.records.cache.fast_path import simple_tables
from seesaw_d2.errors import DataError, SeesawError
from seesaw_d2.utils.worker_processes import count_workers, worker_map

# Annotations at a time: some 10 MB of objects.
PART = 10_000
# More processes parse no faster than one joins what they send.
MAX_WORKERS = 8
# The arrays that have a row for each object.
_FLAT = ("owner", "bbox", "category", "crowd", "kind")


def read_tables(path: str, dataset_format: str) -> tuple[AnnotationFile, Tables]:
    """Read and check an annotation file: its arrays, and the file itself, which may lack the annotations that it has.

    Raises:
        DataError: as ``read_annotations``.
    """
    try:
        return _read(path, dataset_format)
    except (_NotSimple, DataError):
        # Read whole: errors are to name all culprits, not those of one part, and odd files are read in an odd way.
        file = read_annotations(path, dataset_format)
        tables, category_ids = header_tables(file), np.array(file.category_ids, np.int64)
        objects = Objects.of(itertools.compress(file.annotations or [], file.has_area))
        parts = [object_tables(objects, tables["image_id"], category_ids)]
        return file, tables | _join(parts, len(file.images))


class _NotSimple(Exception):
    """Not a JSON object whose annotations are a list."""


@dataclasses.dataclass(frozen=True)
class _Parts:
    """The texts of a file's annotations, and what makes arrays of some of them."""

    raw: list[msgspec.Raw]
    checker: AnnotationChecker

    def read(self, start: int) -> tuple[Tables, Findings]:
        """Those of the ``PART`` annotations from ``start`` on."""
        text, checker = b"[" + b",".join(self.raw[start : start + PART]) + b"]", self.checker
        simple = simple_tables(text, checker.image_ids, checker.sizes, checker.category_ids)
        if simple is not None:
            return simple
        try:
            part = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise _NotSimple from error
        checked = checker.check(entries({"annotations": part}, "annotations", checker.path))
        objects = Objects.of(itertools.compress(checked.annotations, checked.has_area))
        return object_tables(objects, checker.image_ids, checker.category_ids), checked.findings


def _read(path: str, dataset_format: str) -> tuple[AnnotationFile, Tables]:
    data, raw = _split(path)
    header = read_header(data, path, dataset_format)
    tables, checker = header_tables(header), AnnotationChecker(header)
    parts = _Parts(raw or [], checker)
    found = list(_each(parts, range(0, max(len(parts.raw), 1), PART)))
    has_annotations = raw is not None
    del raw, parts  # a gigabyte that is not needed while the parts are joined
    checker.finish([findings for _, findings in found])
    tables |= _join([objects for objects, _ in found], len(header.images))
    return dataclasses.replace(header, annotations=[] if has_annotations else None), tables


# What worker processes inherit. The texts are a gigabyte: nobody sends them.
_inherited: list[_Parts] = []


def _each(parts: _Parts, starts: range) -> Iterator[tuple[Tables, Findings]]:
    """What each part gives, in order."""
    forks = sys.platform == "linux" and not multiprocessing.current_process().daemon
    workers = min(count_workers(None), MAX_WORKERS, len(starts)) if forks and len(starts) > 1 else 1
    _inherited.append(parts)
    try:
        with worker_map(workers) as mapped:
            yield from mapped(_read_part, starts)
    except BrokenProcessPool:
        raise SeesawError(
            f"{parts.checker.path}: a process that parsed a part of it has died, as it does where memory runs out"
        ) from None
    finally:
        _inherited.pop()


def _read_part(start: int) -> tuple[Tables, Findings]:
    return _inherited[-1].read(start)


class _File(msgspec.Struct, gc=False):
    """The texts of an annotation file's lists, and of each annotation."""

    images: msgspec.Raw | UnsetType = UNSET
    categories: msgspec.Raw | UnsetType = UNSET
    annotations: list[msgspec.Raw] | UnsetType = UNSET


def _split(path: str) -> tuple[dict[str, Any], list[msgspec.Raw] | None]:
    """What the file has beside its annotations, and each annotation's text; None if it has no list of them."""
    try:
        with open(path, "rb") as file:
            texts = msgspec.json.decode(file.read(), type=_File)
        lists = {"images": texts.images, "categories": texts.categories}
        data = {key: orjson.loads(memoryview(text)) for key, text in lists.items() if text is not UNSET}
        return data, None if texts.annotations is UNSET else texts.annotations
    except (OSError, ValueError, RecursionError) as error:  # both libraries' errors are ValueErrors
        raise _NotSimple from error


def _join(parts: list[Tables], num_images: int) -> Tables:
    """The arrays of all parts' objects, in the order of their images. The parts are emptied."""
    joined = {key: np.concatenate([part.pop(key) for part in parts]) for key in (*_FLAT, "coordinates", "runs")}
    for key in ("part_end", "polygon_end", "runs_end"):
        joined[key] = np.cumsum(np.concatenate([_lengths(part.pop(key)) for part in parts]))
    owner = joined.pop("owner")
    joined["object_end"] = np.cumsum(np.bincount(owner, minlength=num_images))
    if (np.diff(owner) >= 0).all():
        return joined
    return _in_order(joined, np.argsort(owner, kind="stable"))


def _in_order(tables: Tables, order: np.ndarray) -> Tables:
    """The objects at the positions ``order``, (N,)."""
    runs, runs_end = _take(tables["runs"], tables["runs_end"], order)
    polygons, part_end = _take(np.arange(len(tables["polygon_end"])), tables["part_end"], order)
    coordinates, polygon_end = _take(tables["coordinates"], tables["polygon_end"], polygons)
    ragged = {"runs": runs, "runs_end": runs_end, "part_end": part_end}
    ragged |= {"coordinates": coordinates, "polygon_end": polygon_end, "object_end": tables["object_end"]}
    return ragged | {key: tables[key][order] for key in _FLAT if key in tables}


def _take(values: np.ndarray, ends: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The entries ``values[end_before:end]`` at the positions ``order``, and their ends."""
    lengths = _lengths(ends)
    taken = np.cumsum(lengths[order])
    shift = np.repeat((ends - lengths)[order] - (taken - lengths[order]), lengths[order])
    return values[np.arange(len(shift)) + shift], taken


def _lengths(ends: np.ndarray) -> np.ndarray:
    return np.diff(ends, prepend=0)
