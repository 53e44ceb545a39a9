"""Compute the masks and areas of ground-truth annotations as pycocotools does, for evaluation on COCO and LVIS."""

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


def has_unusable_polygons(segmentation: Any) -> bool:
    """Return True if a segmentation contains a polygon with fewer than three points or an odd number of coordinates.

    Segmentations that are not lists, such as run-length masks, contain no polygons, and give False.
    """
    if type(segmentation) is not list:
        return False
    return any(len(polygon) < 6 or len(polygon) % 2 for polygon in segmentation)


def evaluated_segmentation(segmentation: list[list[float]], size: tuple[int, int]) -> list | dict[str, Any] | None:
    """Convert invalid polygons of a ground-truth object to a valid segmentation with the same mask.

    pycocotools also accepts many invalid polygons: It ignores polygons with fewer than three points, and the last
    coordinate of a polygon with an odd number of coordinates. Other programs may reject such polygons or decode them
    differently. Every program decodes the converted segmentation to the mask that pycocotools uses in evaluation.

    Args:
        segmentation: list of polygons [x, y, x, y, ...].
        size: height and width of the image in pixels.

    Returns:
        one of the following values:

        - The polygons with at least three points, each without the odd last coordinate.
        - An empty run-length mask, if no polygon has three points.
        - None, if no polygon has three points and the first polygon has at most 4 coordinates. pycocotools raises an
          error for such a segmentation and for an empty list.
    """
    polygons = [polygon[: len(polygon) // 2 * 2] for polygon in segmentation if len(polygon) >= 6]
    if polygons:
        return polygons
    if not segmentation or len(segmentation[0]) <= 4:
        return None
    empty = mask_utils.encode(np.zeros(size, dtype=np.uint8, order="F"))
    return {"size": list(size), "counts": empty["counts"].decode()}


def computed_area(annotation: dict[str, Any], size: tuple[int, int]) -> float:
    """Return the number of pixels in an annotation's mask. If the mask is missing or empty, return the box's area.

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
    """Convert a box (x, y, width, height) to a COCO segmentation: a list with one rectangular polygon."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def is_odd_area(area: float, box: list[float]) -> bool:
    """Return True if the "area" of an annotation is too large or too small for its box.

    The usual reason is an area in another unit than pixels. Boxes smaller than 64 pixels always give False.

    Args:
        area: annotated area in pixels.
        box: x, y, width, height in pixels.
    """
    width, height = box[2:]
    # Do not test boxes smaller than 64 pixels. Rounding the coordinates of such small boxes changes the area too much.
    if width * height < 64:
        return False
    return area > 1.1 * (width + 2) * (height + 2) or area < max(width, height) / 8
