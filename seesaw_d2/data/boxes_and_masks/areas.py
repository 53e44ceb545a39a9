"""Masks and areas of annotations as pycocotools computes them, for the evaluation of COCO and LVIS."""

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


def has_unusable_polygons(segmentation: Any) -> bool:
    """Return whether a checked segmentation has polygons with fewer than three points or an odd number of values."""
    if type(segmentation) is not list:
        return False
    return any(len(polygon) < 6 or len(polygon) % 2 for polygon in segmentation)


def evaluated_segmentation(segmentation: list[list[float]], size: tuple[int, int]) -> list | dict[str, Any] | None:
    """Return a mask with the same pixels in every program, for a segmentation with unusable polygons.

    As in pycocotools, an odd last value is ignored and a polygon with fewer than three points has no pixels.

    Args:
        segmentation: polygons; see ``has_unusable_polygons``.
        size: height and width of the image, pixels.

    Returns:
        the polygons with three points or more. If there are none: a run-length mask without pixels, or None if
            pycocotools cannot read the segmentation because its first polygon has at most two points.
    """
    polygons = [polygon[: len(polygon) // 2 * 2] for polygon in segmentation if len(polygon) >= 6]
    if polygons:
        return polygons
    if not segmentation or len(segmentation[0]) <= 4:
        return None
    empty = mask_utils.encode(np.zeros(size, dtype=np.uint8, order="F"))
    return {"size": list(size), "counts": empty["counts"].decode()}


def computed_area(annotation: dict[str, Any], size: tuple[int, int]) -> float:
    """Return the number of pixels in the mask, or in the box if the mask is empty or missing.

    Args:
        annotation: an annotation with ``bbox`` (x, y, width, height) and optionally a valid ``segmentation``.
        size: height and width of the image, pixels.
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
    """Return a box (x, y, width, height) as a segmentation."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def is_odd_area(area: float, box: list[float]) -> bool:
    """Return whether an area (pixels) is implausible for this box, for example a fraction of the image."""
    width, height = box[2:]
    if width * height < 64:  # dominated by rounding
        return False
    return area > 1.1 * (width + 2) * (height + 2) or area < max(width, height) / 8
