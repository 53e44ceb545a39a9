"""Convert an annotation file to arrays.

Shapes: I is the number of images, K is the number of categories, and N is the number of objects that training can use.
Objects are sorted by image. Lists of different lengths are concatenated into one array. An array whose name ends with
``_end`` contains the end index of each list in the concatenated array. A list starts where the previous list ends.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as mask_utils

from seesaw_d2.data.records.formats import FORMATS, ID_LISTS

if TYPE_CHECKING:
    from seesaw_d2.data.records.annotation_files import AnnotationFile

# Kinds of segmentations. TEXT: run lengths that are compressed in the file. BYTES: run lengths that this module
# compressed.
NO_SEGMENTATION, POLYGONS, TEXT, BYTES = range(4)
ABSENT = -1  # value of "crowd" for objects without the field iscrowd
# File names can contain bytes that are not valid UTF-8. Python represents such bytes by surrogates.
_ERRORS = "surrogateescape"

# Data type of each array. The arrays up to ``ID_LISTS`` describe images. The arrays from "bbox" on describe objects.
ARRAYS = {
    "image_id": "i8",
    "height": "i8",
    "width": "i8",
    "name_end": "i8",
    "names": "u1",
    "object_end": "i8",
    **{f"{key}_end": "i8" for key in ID_LISTS},
    **{f"{key}_given": "?" for key in ID_LISTS},
    **dict.fromkeys(ID_LISTS, "i8"),
    "bbox": "f8",
    "category": "i4",
    "crowd": "i1",
    "kind": "i1",
    "part_end": "i8",
    "runs_end": "i8",
    # "coordinates" contains x, y, x, y, ... of the polygons. "runs" contains the characters of compressed run lengths.
    "polygon_end": "i8",
    "coordinates": "f8",
    "runs": "u1",
}

Tables = dict[str, np.ndarray]
# Arrays of ``object_tables`` with one row per object.
_FLAT = ("owner", "bbox", "category", "crowd", "kind")


def header_tables(header: "AnnotationFile") -> Tables:
    """Return the arrays that describe the images of a file. They contain the image fields of dataset dicts."""
    federated = FORMATS[header.format].federated
    names = [name.encode(errors=_ERRORS) for name in header.image_files]
    tables = {
        **{key: np.array([image[key] for image in header.images], np.int64) for key in ("height", "width")},
        "image_id": np.array([image["id"] for image in header.images], np.int64),
        "name_end": _ends(map(len, names), len(names)),
        "names": _characters(names),
    }
    for key in ID_LISTS:
        lists = [image.get(key) if federated else None for image in header.images]
        tables[f"{key}_given"] = np.array([value is not None for value in lists])
        tables[f"{key}_end"] = _ends((len(value or ()) for value in lists), len(lists))
        tables[key] = np.array(list(itertools.chain.from_iterable(value or () for value in lists)), np.int64)
    return tables


@dataclass(frozen=True, eq=False)
class Objects:
    """Fields of N annotations that the arrays store.

    Attributes:
        image_id, category_id: (N,) int64, ids in the file.
        bbox: (N, 4) float64, x, y, width, height in pixels.
        crowd: (N,) int8, 0, 1 or ``ABSENT``.
        segmentations: N segmentations in the format of the file.
    """

    image_id: np.ndarray
    category_id: np.ndarray
    bbox: np.ndarray
    crowd: np.ndarray
    segmentations: list[Any]

    @classmethod
    def of(cls, annotations: Iterable[dict[str, Any]]) -> "Objects":
        """Extract the fields from checked annotations."""
        kept = list(annotations)
        return cls(
            image_id=np.array([item["image_id"] for item in kept], np.int64),
            category_id=np.array([item["category_id"] for item in kept], np.int64),
            bbox=np.array([item["bbox"] for item in kept], np.float64).reshape(-1, 4),
            crowd=np.array([item.get("iscrowd", ABSENT) for item in kept], np.int8),
            segmentations=[item.get("segmentation") for item in kept],
        )


def object_tables(objects: Objects, image_ids: np.ndarray, category_ids: np.ndarray) -> Tables:
    """Return the arrays that describe objects. They contain the object fields of dataset dicts.

    Instead of "object_end", the result contains "owner", (N,), the image index of each object. ``join_tables`` computes
    "object_end" from "owner".

    Args:
        objects: objects whose image and category ids exist.
        image_ids, category_ids: (I,) and (K,) sorted ids.
    """
    owner = np.searchsorted(image_ids, objects.image_id)
    order = np.argsort(owner, kind="stable")
    segmentations = [objects.segmentations[index] for index in order.tolist()]
    kind, runs = _run_lengths(segmentations)
    polygons = [value if kind == POLYGONS else () for value, kind in zip(segmentations, kind.tolist(), strict=True)]
    parts = list(itertools.chain.from_iterable(polygons))
    ends = _ends(map(len, parts), len(parts))
    total = int(ends[-1]) if len(ends) else 0
    return {
        "owner": owner[order],
        "bbox": objects.bbox[order],
        "category": np.searchsorted(category_ids, objects.category_id[order]).astype(np.int32),
        "crowd": objects.crowd[order],
        "kind": kind,
        "part_end": _ends(map(len, polygons), len(polygons)),
        "polygon_end": ends,
        "coordinates": np.fromiter(itertools.chain.from_iterable(parts), np.float64, total),
        "runs_end": _ends(map(len, runs), len(runs)),
        "runs": _characters(runs),
    }


def to_name(characters) -> str:
    """Decode a file name from its characters in the array "names"."""
    return str(characters, "utf-8", _ERRORS)


def _run_lengths(segmentations: Sequence[Any]) -> tuple[np.ndarray, list[bytes]]:
    """Return the kinds of N segmentations, (N,), and N byte strings with compressed run lengths.

    The byte strings of segmentations without run lengths are empty.
    """
    kinds, runs = np.zeros(len(segmentations), np.int8), [b""] * len(segmentations)
    for index, value in enumerate(segmentations):
        if not value:
            continue
        if isinstance(value, list):
            kinds[index] = POLYGONS
        elif isinstance(value["counts"], str):
            kinds[index], runs[index] = TEXT, value["counts"].encode()
        else:
            kinds[index], runs[index] = BYTES, mask_utils.frPyObjects(value, *value["size"])["counts"]
    return kinds, runs


def _ends(lengths, count: int) -> np.ndarray:
    return np.cumsum(np.fromiter(lengths, np.int64, count))


def _characters(strings: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(strings), np.uint8)


def join_tables(parts: list[Tables], num_images: int) -> Tables:
    """Concatenate the arrays of all parts, and sort the objects by image.

    Args:
        parts: results of ``object_tables``. The function empties the parts to free memory.
        num_images: number of images in the file.
    """
    joined = {key: np.concatenate([part.pop(key) for part in parts]) for key in (*_FLAT, "coordinates", "runs")}
    for key in ("part_end", "polygon_end", "runs_end"):
        joined[key] = np.cumsum(np.concatenate([_lengths(part.pop(key)) for part in parts]))
    owner = joined.pop("owner")
    joined["object_end"] = np.cumsum(np.bincount(owner, minlength=num_images))
    if (np.diff(owner) >= 0).all():
        return joined
    return _in_order(joined, np.argsort(owner, kind="stable"))


def _in_order(tables: Tables, order: np.ndarray) -> Tables:
    """Return the arrays with the objects in another order.

    Args:
        tables: arrays of the objects.
        order: (N,) old index of each object.
    """
    runs, runs_end = _take(tables["runs"], tables["runs_end"], order)
    polygons, part_end = _take(np.arange(len(tables["polygon_end"])), tables["part_end"], order)
    coordinates, polygon_end = _take(tables["coordinates"], tables["polygon_end"], polygons)
    ragged = {"runs": runs, "runs_end": runs_end, "part_end": part_end}
    ragged |= {"coordinates": coordinates, "polygon_end": polygon_end, "object_end": tables["object_end"]}
    return ragged | {key: tables[key][order] for key in _FLAT if key in tables}


def _take(values: np.ndarray, ends: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reorder concatenated lists.

    Args:
        values: the concatenated lists.
        ends: (N,) end index of each list.
        order: (N,) old index of each list.

    Returns:
        the concatenated lists in the new order, and the end index of each list.
    """
    lengths = _lengths(ends)
    taken = np.cumsum(lengths[order])
    shift = np.repeat((ends - lengths)[order] - (taken - lengths[order]), lengths[order])
    return values[np.arange(len(shift)) + shift], taken


def _lengths(ends: np.ndarray) -> np.ndarray:
    return np.diff(ends, prepend=0)
