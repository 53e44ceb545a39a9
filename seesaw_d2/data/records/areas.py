"""Masks and areas of annotations as pycocotools has them, in which the evaluation of COCO and LVIS is written."""

from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


def has_unusable_polygons(segmentation: Any) -> bool:
    """Whether a checked segmentation has polygons with fewer than three points or half a point."""
    if type(segmentation) is not list:
        return False
    return any(len(polygon) < 6 or len(polygon) % 2 for polygon in segmentation)


def evaluated_segmentation(segmentation: list[list[float]], size: tuple[int, int]) -> list | dict[str, Any] | None:
    """Polygons, some of them unusable, with the same pixels in every program.

    As in pycocotools, half a point is not read, and a polygon with fewer than three points has no pixels.

    Args:
        segmentation: polygons; see ``has_unusable_polygons``.
        size: of the image, height and width.

    Returns:
        The polygons with three points or more; where there is none, a run-length mask without pixels, or None if
        pycocotools cannot read the segmentation, as where the first polygon has two points or fewer.
    """
    polygons = [polygon[: len(polygon) // 2 * 2] for polygon in segmentation if len(polygon) >= 6]
    if polygons:
        return polygons
    if not segmentation or len(segmentation[0]) <= 4:
        return None
    empty = mask_utils.encode(np.zeros(size, dtype=np.uint8, order="F"))
    return {"size": list(size), "counts": empty["counts"].decode()}


def computed_area(annotation: dict[str, Any], size: tuple[int, int]) -> float:
    """Pixels in the mask, or in the box where the mask has none or is missing.

    Args:
        annotation: with ``bbox`` (x, y, width, height), and perhaps a ``segmentation`` that is usable.
        size: of the image, height and width.
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
    """A box (x, y, width, height) as a segmentation."""
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def is_odd_area(area: float, box: list[float]) -> bool:
    """Whether an area (pixels) cannot be that of a shape with this box, as fractions of the image cannot."""
    width, height = box[2:]
    if width * height < 64:  # rounding decides
        return False
    return area > 1.1 * (width + 2) * (height + 2) or area < max(width, height) / 8
