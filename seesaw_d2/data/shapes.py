"""Boxes and segmentations of an annotation file: what is an error, and what is left out with a warning.

Left out, as COCO's own tools and Detectron2 do: polygons with fewer than three points or half a point, and
objects of which no polygon remains. Boxes without an area are left out of training only, so that evaluation
counts the objects that the official one counts.
"""

import itertools
import logging
from typing import Any

import numpy as np

from seesaw_d2.data.checks import column
from seesaw_d2.data.files import first_few, warn_once
from seesaw_d2.errors import DataError

logger = logging.getLogger(__name__)

_NUMBERS = {int, float}


def has_area(annotations: list[dict[str, Any]], path: str) -> np.ndarray:
    """Which boxes (x, y, width, height; pixels) have a positive width and height: (N,) bool.

    Raises:
        DataError: a box is missing or is not four finite numbers.
    """
    boxes = column(annotations, "annotations", "bbox", path)
    bad = [index for index, box in enumerate(boxes) if type(box) is not list or len(box) != 4]
    if not bad and not set(map(type, itertools.chain.from_iterable(boxes))) <= _NUMBERS:
        bad = [index for index, box in enumerate(boxes) if not set(map(type, box)) <= _NUMBERS]
    if not bad:
        array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        ids = first_few(annotations[index]["id"] for index in bad)
        raise DataError(
            f'{path}: "bbox" is not four finite numbers x, y, width, height: annotation ids {ids}; '
            f"found {boxes[bad[0]]!r}"
        )
    positive = (array[:, 2:] > 0).all(axis=1)
    if not positive.all():
        ids = first_few(annotations[index]["id"] for index in np.flatnonzero(~positive))
        count = int((~positive).sum())
        warn_once(logger, f"{path}: {count} boxes without an area are not trained on: annotation ids {ids}")
    return positive


def clean_segmentations(annotations: list[dict[str, Any]], sizes: dict[int, tuple], path: str) -> np.ndarray:
    """Check the segmentations and take unusable polygons out of them, in place.

    Args:
        annotations: N entries.
        sizes: image id -> (height, width), pixels, for the size of run-length masks.

    Returns:
        (N,) bool, False for objects that had polygons of which none is left. Objects that never had a
        segmentation (absent, null or empty) stay: a data set of boxes is good for training boxes.

    Raises:
        DataError: a segmentation is neither a list of polygons nor a run-length mask of its image's size.
    """
    keep = np.ones(len(annotations), dtype=bool)
    dropped, wrong = [], []
    for index, annotation in enumerate(annotations):
        segmentation = annotation.get("segmentation")
        if not segmentation:
            continue
        if type(segmentation) is list:
            if not all(type(polygon) is list for polygon in segmentation):
                wrong.append(index)
                continue
            polygons = [polygon for polygon in segmentation if len(polygon) >= 6 and not len(polygon) % 2]
            if len(polygons) < len(segmentation):
                dropped.append(annotation["id"])
                annotation["segmentation"] = polygons
                keep[index] = bool(polygons)
        elif not _is_run_length_mask(segmentation, sizes[annotation["image_id"]]):
            wrong.append(index)
    wrong += _with_other_than_numbers(annotations) if not wrong else []
    if wrong:
        raise DataError(
            f'{path}: "segmentation" is neither a list of polygons (lists of numbers x, y, x, y, …) nor a '
            "run-length mask (counts and the image's [height, width] as size): annotation ids "
            f"{first_few(annotations[index]['id'] for index in wrong)}"
        )
    if dropped:
        lost = int((~keep).sum())
        warn_once(
            logger,
            f"{path}: polygons with fewer than 3 points or an odd number of coordinates are left out: "
            f"annotation ids {first_few(dropped)}; {lost} objects have no other and are left out whole",
        )
    return keep


def _is_run_length_mask(value: Any, size: tuple) -> bool:
    if type(value) is not dict or value.get("size") != list(size):
        return False
    counts = value.get("counts")
    if type(counts) is not list:
        return type(counts) is str
    return set(map(type, counts)) <= {int} and sum(counts) == size[0] * size[1] and min(counts, default=0) >= 0


def _with_other_than_numbers(annotations: list[dict[str, Any]]) -> list[int]:
    """Positions of annotations with a polygon of which a coordinate is not a number."""

    def types(items) -> set[type]:
        polygons = (item["segmentation"] for item in items if type(item.get("segmentation")) is list)
        return set(map(type, itertools.chain.from_iterable(itertools.chain.from_iterable(polygons))))

    if types(annotations) <= _NUMBERS:
        return []
    return [index for index, item in enumerate(annotations) if not types([item]) <= _NUMBERS]
