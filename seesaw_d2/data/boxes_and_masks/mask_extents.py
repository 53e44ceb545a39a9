"""Compute extents, which are the boxes around masks.

Shapes: N is the number of objects, and P is the number of polygons. Extents are (N, 4) float64: x1, y1, x2, y2 in
pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


def polygon_extents(owners: np.ndarray, ends: np.ndarray, coordinates: np.ndarray, count: int) -> np.ndarray:
    """Return the extents of the polygons of each object, (N, 4). The extents of objects without polygons are NaN.

    Args:
        owners: (P,) int64, index of the object that contains each polygon. The indices are sorted.
        ends: (P,) end index of each polygon in ``coordinates``.
        coordinates: concatenated coordinates x, y, x, y, ... of all polygons. Each polygon has at least one point.
        count: number of objects N.
    """
    extents = np.full((count, 4), np.nan)
    if len(owners):
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        starts = np.concatenate([[0], ends[:-1]])[first] // 2
        for axis in (0, 1):
            column = np.ascontiguousarray(coordinates[axis::2])
            extents[owners[first], axis] = np.minimum.reduceat(column, starts)
            extents[owners[first], axis + 2] = np.maximum.reduceat(column, starts)
    return extents


def run_length_extents(masks: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return the extents (N, 4) of N valid run-length masks. The extents of empty masks are 0.

    The masks may be compressed or uncompressed.
    """
    compressed = [
        mask_utils.frPyObjects(mask, *mask["size"]) if isinstance(mask["counts"], list) else mask for mask in masks
    ]
    boxes = np.asarray(mask_utils.toBbox(compressed), np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
