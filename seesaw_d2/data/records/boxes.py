"""Forms of boxes. The last axis of every array has the four numbers; corners are x1, y1, x2, y2."""

import numpy as np


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Return the corners of boxes x, y, width, height."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def boxes_of(corners: np.ndarray) -> np.ndarray:
    """Return x, y, width, height of corners."""
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def centred(boxes: np.ndarray) -> np.ndarray:
    """Return the corners of boxes whose first two numbers are the centre."""
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], axis=-1)


def transposed(boxes: np.ndarray) -> np.ndarray:
    """Return boxes or corners with x and y exchanged."""
    return boxes[..., [1, 0, 3, 2]]
