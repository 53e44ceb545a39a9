"""Check the boxes and segmentations of an annotation file.

A polygon is unusable if it has fewer than three points or an odd number of coordinates. Training ignores unusable
polygons, objects with only unusable polygons, and objects whose box has no area inside the image. A warning lists the
ids of these annotations. Evaluation counts all objects, as the official evaluations of COCO and LVIS do.
"""

import itertools
import reprlib
from typing import Any, NamedTuple

import numpy as np

from seesaw_d2.data.boxes_and_masks.areas import has_unusable_polygons
from seesaw_d2.data.boxes_and_masks.box_readings import corners_of
from seesaw_d2.data.boxes_and_masks.mask_extents import polygon_extents, run_length_extents
from seesaw_d2.data.boxes_and_masks.run_lengths import valid_masks
from seesaw_d2.data.records.annotation_checks import NUMBERS, column, float_array
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

# The absolute value of a box or polygon coordinate may be at most FAR times the longer side of the image. Converting a
# polygon with larger coordinates to pixels would crash or take hours.
FAR = 10


def checked_boxes(annotations: list[dict[str, Any]], sides: np.ndarray, path: str) -> np.ndarray:
    """Check the boxes of N annotations, and return the boxes as an array.

    Args:
        annotations: N annotations, each a dict with "id" and "bbox".
        sides: (N,) longer side of each annotation's image in pixels.
        path: path of the annotation file, for messages.

    Returns:
        the boxes (N, 4), float64: x, y, width, height in pixels.

    Raises:
        DataError: a box is missing or is not a list of four finite numbers, or the absolute value of a number exceeds
            ``FAR`` = 10 times the longer side of the image.
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
            f'{path}: "bbox": expected four finite numbers x, y, width, height, found {reprlib.repr(boxes[bad[0]])} '
            f"(annotation ids {ids})"
        )
    _refuse_far(annotations, "bbox", np.flatnonzero((np.abs(array) > FAR * sides[:, None]).any(axis=1)), path)
    return array


def have_area_inside(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return a bool array (N,), True for each box that has an area inside its image.

    Detectron2 clips boxes to the image. Training drops boxes without an area.

    Args:
        boxes: (N, 4) x, y, width, height in pixels.
        sizes: (N, 2) height and width of each box's image in pixels.
    """
    corners = np.clip(corners_of(boxes), 0, sizes[:, [1, 0, 1, 0]])
    return (corners[:, 2:] > corners[:, :2]).all(axis=1)


class Segmentations(NamedTuple):
    """Properties of the segmentations of N annotations, after unusable polygons were removed.

    A polygon is unusable if it has fewer than three points or an odd number of coordinates.

    Attributes:
        keep: (N,) bool. False if all polygons of the annotation were removed, so that training ignores the annotation.
        before: the original segmentations of the annotations that lost polygons, by the index of the annotation.
        extents: (N, 4) float64, x1, y1, x2, y2 of the box around each mask in pixels. NaN for crowds, for annotations
            without a mask, and for annotations that lost polygons.
    """

    keep: np.ndarray
    before: dict[int, list]
    extents: np.ndarray


def clean_segmentations(annotations: list[dict[str, Any]], sizes: np.ndarray, path: str) -> Segmentations:
    """Check the segmentations of N annotations, and remove unusable polygons from the annotations.

    A polygon is unusable if it has fewer than three points or an odd number of coordinates. Annotations whose
    segmentation is missing, null or empty are kept, because a model can be trained on their boxes.

    Args:
        annotations: N annotations in COCO or LVIS format. This function changes their "segmentation" in place.
        sizes: (N, 2) int64, height and width of each annotation's image in pixels.
        path: path of the annotation file, for messages.

    Raises:
        DataError: a segmentation is neither a list of polygons nor a run-length mask of the image's size, or the
            absolute value of a coordinate exceeds ``FAR`` = 10 times the longer side of the image.
    """
    segmentations = [item.get("segmentation") for item in annotations]
    if wrong := _of_wrong_type(segmentations, sizes.tolist()) or _with_other_than_numbers(segmentations):
        raise DataError(
            f'{path}: "segmentation": expected a list of polygons or a run-length mask, found '
            f"{reprlib.repr(segmentations[wrong[0]])} (annotation ids "
            f"{first_few(annotations[index]['id'] for index in wrong)}). A polygon is a list of numbers [x, y, x, y, "
            '...]. The "size" of a run-length mask is the [height, width] of its image, and the "counts" add up to '
            "height x width."
        )
    before = {index: mask for index, mask in enumerate(segmentations) if has_unusable_polygons(mask)}
    # Remove polygons with fewer than three points (six numbers). Keep polygons with an odd number of coordinates until
    # the coordinates are checked. Evaluation uses such polygons (without the last coordinate), and would crash with
    # very large coordinates.
    for index, mask in before.items():
        segmentations[index] = [polygon for polygon in mask if len(polygon) >= 6]
    polygons = Polygons.of(segmentations)
    _refuse_far(annotations, "segmentation", polygons.far(sizes), path)
    keep = np.ones(len(annotations), dtype=bool)
    for index in before:
        usable = [polygon for polygon in segmentations[index] if not len(polygon) % 2]
        annotations[index]["segmentation"] = segmentations[index] = usable
        keep[index] = bool(usable)
    polygons = Polygons.of(segmentations) if before else polygons
    extents = polygon_extents(*polygons, len(annotations))
    crowds = np.array([bool(item.get("iscrowd")) for item in annotations], dtype=bool)
    encoded = {i: mask for i, mask in enumerate(segmentations) if mask and type(mask) is dict and not crowds[i]}
    if encoded:
        extents[list(encoded)] = run_length_extents(list(encoded.values()))
    extents[[*before, *np.flatnonzero(crowds)]] = np.nan
    return Segmentations(keep, before, extents)


def _of_wrong_type(segmentations: list, sizes: list[list[int]]) -> list[int]:
    """Find the segmentations that are neither a list of polygons nor a valid run-length mask.

    Args:
        segmentations: values of "segmentation" in the annotations. Missing, null and empty values are not reported.
        sizes: height and width of each annotation's image in pixels.

    Returns:
        the sorted indices of these segmentations.
    """
    wrong, others = [], []
    for index, value in enumerate(segmentations):
        if type(value) is not list:
            others.extend([index] if value else [])
        elif not all(type(polygon) is list for polygon in value):
            wrong.append(index)
    valid = valid_masks([segmentations[index] for index in others], [sizes[index] for index in others])
    return sorted([*wrong, *itertools.compress(others, ~valid)])


def _with_other_than_numbers(segmentations: list) -> list[int]:
    """Return the indices of the segmentations with polygons that contain other values than numbers, such as strings."""

    def types(items: list) -> set[type]:
        # Collect all polygons in one list. This is twice as fast as two nested calls of chain.from_iterable.
        parts = [polygon for value in items if type(value) is list for polygon in value]
        return set(map(type, itertools.chain.from_iterable(parts)))

    if types(segmentations) <= NUMBERS:
        return []
    return [index for index, value in enumerate(segmentations) if not types([value]) <= NUMBERS]


class Polygons(NamedTuple):
    """The P polygons of N annotations, concatenated in one array for fast checks.

    Attributes:
        owners: (P,) index in [0, N) of the annotation that contains each polygon.
        ends: (P,) end (exclusive) of each polygon in ``coordinates``. A polygon starts where the previous polygon ends.
        coordinates: concatenated coordinates x, y, x, y, ... of all polygons in pixels.
    """

    owners: np.ndarray
    ends: np.ndarray
    coordinates: np.ndarray

    @classmethod
    def of(cls, segmentations: list) -> "Polygons":
        """Collect the polygons of N segmentations. Segmentations that are not lists of polygons are skipped."""
        lists = [value if type(value) is list else () for value in segmentations]
        parts = list(itertools.chain.from_iterable(lists))
        ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
        try:
            values = np.fromiter(itertools.chain.from_iterable(parts), np.float64, ends[-1] if len(ends) else 0)
        except OverflowError:  # raised for an integer above 1.8e308, which does not fit in a float64
            values = float_array(list(itertools.chain.from_iterable(parts)))
        return cls(np.repeat(np.arange(len(lists)), list(map(len, lists))), ends, values)

    def far(self, sizes: np.ndarray) -> np.ndarray:
        """Find the annotations with a polygon that reaches too far outside of the image.

        This is the case if the absolute value of a coordinate exceeds ``FAR`` = 10 times the longer side of the image.

        Args:
            sizes: (N, 2) height and width of the image of each of the N annotations, in pixels.

        Returns:
            the sorted indices of these annotations.
        """
        if not len(self.owners):
            return self.owners
        starts = np.concatenate([[0], self.ends[:-1]])
        reach = np.maximum(
            np.maximum.reduceat(self.coordinates, starts), -np.minimum.reduceat(self.coordinates, starts)
        )
        return np.unique(self.owners[~(reach <= FAR * sizes.max(axis=1)[self.owners])])


def _refuse_far(annotations: list[dict[str, Any]], name: str, bad, path: str) -> None:
    if len(bad):
        ids = first_few(annotations[index]["id"] for index in bad)
        raise DataError(
            f'{path}: "{name}": expected coordinates up to {FAR} times the longer side of the image, found '
            f"{reprlib.repr(annotations[bad[0]][name])} (annotation ids {ids}). Export the coordinates in pixels."
        )
