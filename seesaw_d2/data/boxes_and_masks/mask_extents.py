"""Compute the boxes around masks, which this project calls extents.

Shapes: N is the number of objects, and P is the number of polygons. Extents are (N, 4) float64: x1, y1, x2, y2 in
pixels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils


def polygon_extents(owners: np.ndarray, ends: np.ndarray, coordinates: np.ndarray, count: int) -> np.ndarray:
    """Return the box around the P polygons of each of N objects.

    Args:
        owners: (P,) int64, index in [0, N) of the object that contains each polygon. The indices are sorted.
        ends: (P,) end (exclusive) of each polygon in ``coordinates``.
        coordinates: concatenated coordinates x, y, x, y, ... of all polygons. Each polygon has at least one point.
        count: number of objects N.

    Returns:
        the boxes (N, 4), float64: x1, y1, x2, y2 in pixels. NaN for objects without polygons.
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
    """Return the box around each of N run-length masks, (N, 4) float64: x1, y1, x2, y2 in pixels.

    The box of an empty mask is 0, 0, 0, 0.

    Args:
        masks: N valid masks in COCO's run-length encoding, compressed or uncompressed.
    """
    compressed = [
        mask_utils.frPyObjects(mask, *mask["size"]) if isinstance(mask["counts"], list) else mask for mask in masks
    ]
    boxes = np.asarray(mask_utils.toBbox(compressed), np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
