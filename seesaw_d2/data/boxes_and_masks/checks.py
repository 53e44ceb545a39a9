"""Checks of the boxes and segmentations of an annotation file.

Training omits, with a warning, polygons with fewer than three points or an odd number of values, objects that lose all
of their polygons, and boxes without an area. Evaluation counts all objects, as the official evaluations do.
"""

import itertools
import reprlib
from typing import Any, NamedTuple

import numpy as np

from seesaw_d2.data.boxes_and_masks.mask_extents import polygon_extents, run_length_extents
from seesaw_d2.data.boxes_and_masks.run_lengths import is_run_length_mask
from seesaw_d2.data.records.annotation_checks import NUMBERS, column, float_array
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

# Maximum of coordinates as a multiple of the image's longer side. Larger values are not drawing errors, and rasterizing
# such polygons crashes or takes hours.
FAR = 10


def checked_boxes(annotations: list[dict[str, Any]], sides: np.ndarray, path: str) -> np.ndarray:
    """Return the boxes, x, y, width, height in pixels: (N, 4) float64.

    Args:
        annotations: N entries.
        sides: (N,) longer side of each annotation's image in pixels.

    Raises:
        DataError: a box is missing, is not four finite numbers, or has a number beyond ``FAR`` times the side.
    """
    boxes = column(annotations, "annotations", "bbox", path)
    bad = [index for index, box in enumerate(boxes) if type(box) is not list or len(box) != 4]
    if not bad and not set(map(type, itertools.chain.from_iterable(boxes))) <= NUMBERS:
        bad = [index for index, box in enumerate(boxes) if not set(map(type, box)) <= NUMBERS]
    if not bad:
        array = float_array(boxes).reshape(-1, 4)
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        ids = first_few(annotations[index]["id"] for index in bad)
        raise DataError(
            f'{path}: "bbox" is not four finite numbers x, y, width, height: annotation ids {ids}; '
            f"found {reprlib.repr(boxes[bad[0]])}"
        )
    _refuse_far(annotations, "bbox", np.flatnonzero((np.abs(array) > FAR * sides[:, None]).any(axis=1)), path)
    return array


class Segmentations(NamedTuple):
    """The segmentations of N annotations.

    Attributes:
        keep: (N,) bool, False for objects that lost all of their polygons.
        before: position -> original segmentation, for annotations that lost polygons.
        extents: (N, 4) float64, x1, y1, x2, y2 of the masks. NaN for crowds, without a mask, and for masks that lost
            polygons.
    """

    keep: np.ndarray
    before: dict[int, list]
    extents: np.ndarray


def clean_segmentations(annotations: list[dict[str, Any]], sizes: np.ndarray, path: str) -> Segmentations:
    """Check the segmentations and remove unusable polygons in place.

    Objects without a segmentation (missing, null or empty) are kept, because boxes can be trained on.

    Args:
        annotations: N entries.
        sizes: (N, 2) int64, height and width of each annotation's image, pixels.

    Raises:
        DataError: a segmentation is neither a list of polygons nor a run-length mask of its image's size, or a
            coordinate is beyond ``FAR`` times the longer side of the image.
    """
    keep = np.ones(len(annotations), dtype=bool)
    before: dict[int, list] = {}
    wrong = []
    for index, (annotation, size) in enumerate(zip(annotations, sizes.tolist(), strict=True)):
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue
        if type(segmentation) is list:
            if not all(type(polygon) is list for polygon in segmentation):
                wrong.append(index)
                continue
            if any(len(polygon) < 6 or len(polygon) % 2 for polygon in segmentation):
                before[index] = segmentation
                # Also check polygons with an odd number of values, because evaluation only drops their last value.
                annotation["segmentation"] = [polygon for polygon in segmentation if len(polygon) >= 6]
        elif not is_run_length_mask(segmentation, size):
            wrong.append(index)
    wrong += _with_other_than_numbers(annotations) if not wrong else []
    if wrong:
        raise DataError(
            f'{path}: "segmentation" is neither a list of polygons (lists of numbers x, y, x, y, …) nor a '
            "run-length mask (the image's [height, width] as size, counts that cover it): annotation ids "
            f"{first_few(annotations[index]['id'] for index in wrong)}"
        )
    polygons = _polygons(annotations)
    _refuse_far(annotations, "segmentation", _with_far_coordinates(polygons, sizes), path)
    for index in before:
        usable = [polygon for polygon in annotations[index]["segmentation"] if not len(polygon) % 2]
        annotations[index]["segmentation"] = usable
        keep[index] = bool(usable)
    extents = _extents(annotations, _polygons(annotations) if before else polygons)
    extents[list(before)] = np.nan
    return Segmentations(keep, before, extents)


def _with_other_than_numbers(annotations: list[dict[str, Any]]) -> list[int]:
    """Return the positions of annotations with a coordinate that is not a number."""

    def types(items) -> set[type]:
        polygons = [item["segmentation"] for item in items if type(item.get("segmentation")) is list]
        # Build an intermediate list, because a chain of chains takes twice as long.
        return set(map(type, itertools.chain.from_iterable([part for parts in polygons for part in parts])))

    if types(annotations) <= NUMBERS:
        return []
    return [index for index, item in enumerate(annotations) if not types([item]) <= NUMBERS]


class _Polygons(NamedTuple):
    """P polygons.

    Attributes:
        owners: (P,) the position of each polygon's annotation.
        ends: (P,) the end of each polygon's coordinates.
        coordinates: of all polygons.
    """

    owners: np.ndarray
    ends: np.ndarray
    coordinates: np.ndarray


def _polygons(annotations: list[dict[str, Any]]) -> _Polygons:
    owners, parts = [], []
    for index, item in enumerate(annotations):
        segmentation = item.get("segmentation")
        if type(segmentation) is list:
            parts += segmentation
            owners += [index] * len(segmentation)
    ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
    try:
        values = np.fromiter(itertools.chain.from_iterable(parts), np.float64, ends[-1] if len(ends) else 0)
    except OverflowError:  # an integer beyond float64
        values = float_array(list(itertools.chain.from_iterable(parts)))
    return _Polygons(np.array(owners, np.int64), ends, values)


def _with_far_coordinates(polygons: _Polygons, sizes: np.ndarray) -> np.ndarray:
    """Return the positions of annotations with a coordinate beyond ``FAR``."""
    owners, ends, values = polygons
    if not len(owners):
        return owners
    starts = np.concatenate([[0], ends[:-1]])
    reach = np.maximum(np.maximum.reduceat(values, starts), -np.minimum.reduceat(values, starts))
    return np.unique(owners[~(reach <= FAR * sizes.max(axis=1)[owners])])


def _extents(annotations: list[dict[str, Any]], polygons: _Polygons) -> np.ndarray:
    extents = polygon_extents(*polygons, len(annotations))
    masks = {index: item.get("segmentation") for index, item in enumerate(annotations) if not item.get("iscrowd")}
    encoded = {index: mask for index, mask in masks.items() if mask and type(mask) is dict}
    if encoded:
        extents[list(encoded)] = run_length_extents(list(encoded.values()))
    extents[[index for index in range(len(annotations)) if index not in masks]] = np.nan
    return extents


def _refuse_far(annotations: list[dict[str, Any]], name: str, bad, path: str) -> None:
    if len(bad):
        ids = first_few(annotations[index]["id"] for index in bad)
        raise DataError(
            f'{path}: "{name}" has numbers beyond {FAR} times the longer side of the image: annotation ids {ids}; '
            f"found {reprlib.repr(annotations[bad[0]][name])}"
        )
