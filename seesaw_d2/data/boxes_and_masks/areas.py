"""Compute the masks and areas of annotations as pycocotools does, for evaluation on COCO and LVIS."""

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


def has_unusable_polygons(segmentation: Any) -> bool:
    """Return True if a segmentation contains a polygon with fewer than three points or an odd number of values."""
    if type(segmentation) is not list:
        return False
    return any(len(polygon) < 6 or len(polygon) % 2 for polygon in segmentation)


def evaluated_segmentation(segmentation: list[list[float]], size: tuple[int, int]) -> list | dict[str, Any] | None:
    """Convert a segmentation with unusable polygons to the mask that pycocotools uses in evaluation.

    pycocotools ignores polygons with fewer than three points. If a polygon has an odd number of values, pycocotools
    ignores the last value. The converted segmentation gives the same mask in all programs.

    Args:
        segmentation: list of polygons.
        size: height and width of the image in pixels.

    Returns:
        the polygons with at least three points, each with an even number of values. If no polygon has three points, the
        result is an empty run-length mask, or None if the first polygon has at most 4 values. For such a polygon,
        pycocotools raises an error.
    """
    polygons = [polygon[: len(polygon) // 2 * 2] for polygon in segmentation if len(polygon) >= 6]
    if polygons:
        return polygons
    if not segmentation or len(segmentation[0]) <= 4:
        return None
    empty = mask_utils.encode(np.zeros(size, dtype=np.uint8, order="F"))
    return {"size": list(size), "counts": empty["counts"].decode()}


def computed_area(annotation: dict[str, Any], size: tuple[int, int]) -> float:
    """Return the area of an annotation's mask in pixels or, if the mask is missing or empty, the area of the box.

    Args:
        annotation: an annotation with ``bbox`` (x, y, width, height) and optionally a valid ``segmentation``.
        size: height and width of the image in pixels.
    """
    segmentation = annotation.get("segmentation")
    if has_unusable_polygons(segmentation):
        segmentation = evaluated_segmentation(segmentation, size)
    pixels = 0
    if segmentation:
        if isinstance(segmentation, list):
            segmentation = mask_utils.merge(mask_utils.frPyObjects(segmentation, *size))
        elif isinstance(segmentation["counts"], list):
            segmentation = mask_utils.frPyObjects(segmentation, *size)
        pixels = mask_utils.area(segmentation)
    width, height = annotation["bbox"][2:]
    return float(pixels or max(width, 0) * max(height, 0))


def box_polygon(box: list[float]) -> list[list[float]]:
    """Convert a box (x, y, width, height) to a segmentation with one polygon."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def is_odd_area(area: float, box: list[float]) -> bool:
    """Return True if an annotated area does not fit the box, for example because the area is not in pixels.

    Args:
        area: annotated area in pixels.
        box: x, y, width, height in pixels.
    """
    width, height = box[2:]
    if width * height < 64:  # small masks are not compared, because rounding changes their areas too much
        return False
    return area > 1.1 * (width + 2) * (height + 2) or area < max(width, height) / 8
