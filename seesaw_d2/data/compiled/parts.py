"""An annotation file made into arrays part by part: what is held of its objects is never more than one part.

Millions of annotations as Python objects are gigabytes of memory, which every check then reads again.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import orjson

from seesaw_d2.data.annotations import AnnotationChecker, AnnotationFile, read_annotations, read_header
from seesaw_d2.data.checks import entries
from seesaw_d2.data.compiled.tables import Tables, header_tables, object_tables
from seesaw_d2.errors import DataError

# Annotations at a time: some 10 MB of objects.
PART = 10_000
# The arrays that have a row for each object.
_FLAT = ("bbox", "category", "crowd", "kind")


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
        return file, _tables(file, iter([(file.annotations or [], file.has_area)]))


class _NotSimple(Exception):
    """Not a JSON object whose annotations are a list."""


def _read(path: str, dataset_format: str) -> tuple[AnnotationFile, Tables]:
    data, raw = _split(path)
    header = read_header(data, path, dataset_format)
    if raw is None:
        return header, _tables(header, iter(()))
    return dataclasses.replace(header, annotations=[]), _tables(header, _parts(raw, AnnotationChecker(header)))


def _split(path: str) -> tuple[dict[str, Any], list[msgspec.Raw] | None]:
    """What the file has beside its annotations, and each annotation's text; None if it has no list of them."""
    try:
        with open(path, "rb") as file:
            texts = msgspec.json.decode(file.read(), type=dict[str, msgspec.Raw])
        raw = msgspec.json.decode(texts["annotations"], type=list[msgspec.Raw]) if "annotations" in texts else None
        return {key: orjson.loads(memoryview(texts[key])) for key in ("images", "categories") if key in texts}, raw
    except (OSError, ValueError, RecursionError) as error:  # both libraries' errors are ValueErrors
        raise _NotSimple from error


def _parts(raw: list[msgspec.Raw], checker: AnnotationChecker) -> Iterator[tuple[list[dict[str, Any]], np.ndarray]]:
    for start in range(0, len(raw), PART):
        try:
            part = orjson.loads(b"[" + b",".join(raw[start : start + PART]) + b"]")
        except orjson.JSONDecodeError as error:
            raise _NotSimple from error
        yield checker.check(entries({"annotations": part}, "annotations", checker.path))
    checker.finish()


def _tables(header: AnnotationFile, parts: Iterator[tuple[list[dict[str, Any]], np.ndarray]]) -> Tables:
    tables = header_tables(header)
    category_ids = np.array(header.category_ids, np.int64)
    return tables | _join(
        [object_tables(*part, tables["image_id"], category_ids) for part in parts], len(header.images)
    )


def _join(parts: list[Tables], num_images: int) -> Tables:
    """The arrays of all parts' objects, in the order of their images. The parts are emptied."""
    if len(parts) == 1:
        return parts[0]
    nothing = np.zeros(0, dtype=bool)
    parts = parts or [object_tables([], nothing, np.arange(num_images), nothing)]
    owners = np.concatenate([np.repeat(np.arange(num_images), _lengths(part["object_end"])) for part in parts])
    joined = {key: np.concatenate([part.pop(key) for part in parts]) for key in _FLAT}
    for key in ("part_end", "polygon_end", "runs_end"):
        joined[key] = np.cumsum(np.concatenate([_lengths(part.pop(key)) for part in parts]))
    for key in ("coordinates", "runs"):
        joined[key] = np.concatenate([part.pop(key) for part in parts])
    joined["object_end"] = np.cumsum(np.bincount(owners, minlength=num_images))
    if (np.diff(owners) >= 0).all():
        return joined
    return _in_order(joined, np.argsort(owners, kind="stable"))


def _in_order(tables: Tables, order: np.ndarray) -> Tables:
    """The objects at the positions ``order``, (N,)."""
    runs, runs_end = _take(tables["runs"], tables["runs_end"], order)
    polygons, part_end = _take(np.arange(len(tables["polygon_end"])), tables["part_end"], order)
    coordinates, polygon_end = _take(tables["coordinates"], tables["polygon_end"], polygons)
    ragged = {"runs": runs, "runs_end": runs_end, "part_end": part_end}
    ragged |= {"coordinates": coordinates, "polygon_end": polygon_end, "object_end": tables["object_end"]}
    return ragged | {key: tables[key][order] for key in _FLAT}


def _take(values: np.ndarray, ends: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The entries ``values[end_before:end]`` at the positions ``order``, and their ends."""
    lengths = _lengths(ends)
    taken = np.cumsum(lengths[order])
    shift = np.repeat((ends - lengths)[order] - (taken - lengths[order]), lengths[order])
    return values[np.arange(len(shift)) + shift], taken


def _lengths(ends: np.ndarray) -> np.ndarray:
    return np.diff(ends, prepend=0)
