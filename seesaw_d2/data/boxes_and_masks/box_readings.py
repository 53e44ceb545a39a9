"""Guess the box convention of an annotation file whose boxes, read as x, y, width, height, do not fit the masks.

Shapes: N is the number of objects. Unless stated otherwise, all arrays are (N, 4) float64 in pixels. Corners are x1,
y1, x2, y2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# The tolerance for the position of each side of a box is PIXELS plus SHARE times the width or height of the mask.
# PIXELS allows for rounding, and for programs that include the last pixel in the width and height.
PIXELS = 2.0
SHARE = 0.05


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (x, y, width, height) to (x1, y1, x2, y2)."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def boxes_of(corners: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (x1, y1, x2, y2) to (x, y, width, height)."""
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def centred(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (centre x, centre y, width, height) to (x1, y1, x2, y2)."""
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], axis=-1)


def transposed(boxes: np.ndarray) -> np.ndarray:
    """Exchange x and y in boxes or corners (..., 4)."""
    return boxes[..., [1, 0, 3, 2]]


@dataclass(frozen=True, eq=False)
class Objects:
    """Boxes and masks of N objects.

    Attributes:
        boxes: boxes in the annotation file.
        extents: corners of the boxes around the masks.
        frames: width, height, width, height of the images.
    """

    boxes: np.ndarray
    extents: np.ndarray
    frames: np.ndarray

    def agree(self, corners: np.ndarray) -> np.ndarray:
        """Return a bool array (N,), True for each box that agrees with the mask within the tolerance.

        Before the comparison, boxes and masks are clipped to the image, because some labelling tools clip only boxes or
        only masks.

        Args:
            corners: corners of the boxes. Boxes with NaN do not agree.
        """
        return _near(np.clip(corners, 0, self.frames), np.clip(self.extents, 0, self.frames))

    def take(self, positions: np.ndarray) -> "Objects":
        return Objects(self.boxes[positions], self.extents[positions], self.frames[positions])


def count_readings(objects: Objects) -> dict[str, int]:
    """Count, for each box convention, the objects whose boxes agree with their masks in this convention.

    Objects with a mask of a few pixels are ignored, because almost any box near a small mask agrees within the
    tolerance.

    Returns:
        a dict from the description of a convention to the number of objects.
    """
    objects = objects.take(np.flatnonzero((objects.extents[:, 2:] - objects.extents[:, :2] > 2 * PIXELS).any(axis=1)))
    with np.errstate(all="ignore"):  # division by zero gives NaN, and boxes with NaN do not agree
        return {name: int(reading(objects).sum()) for name, reading in _READINGS.items()}


def _near(corners: np.ndarray, extents: np.ndarray) -> np.ndarray:
    sides = np.maximum(extents[:, 2:] - extents[:, :2], 1)
    return (np.abs(corners - extents) <= PIXELS + SHARE * np.concatenate([sides, sides], axis=1)).all(axis=1)


def _turned(boxes: np.ndarray, before: np.ndarray, after: np.ndarray, quarters: int) -> np.ndarray:
    """Rotate boxes together with their image. Return the corners of the rotated boxes.

    Args:
        boxes: boxes in the image before the rotation.
        before, after: width, height, width, height of the image before and after the rotation.
        quarters: angle of the rotation, in multiples of 90 degrees.
    """
    x1, y1, x2, y2 = np.split(corners_of(boxes) / before, 4, axis=1)
    for _ in range(quarters):
        x1, y1, x2, y2 = y1, 1 - x2, y2, 1 - x1
    return np.concatenate([x1, y1, x2, y2], axis=1) * after


def _of_another_scale(objects: Objects) -> np.ndarray:
    corners = corners_of(objects.boxes)
    factors = (objects.extents[:, :2] + objects.extents[:, 2:]) / (corners[:, :2] + corners[:, 2:])
    return objects.agree(corners * np.concatenate([factors, factors], axis=1))


def _elsewhere(objects: Objects) -> np.ndarray:
    start = objects.extents[:, :2]
    return _near(np.concatenate([start, start + objects.boxes[:, 2:]], axis=1), objects.extents)


def _around_the_centre(objects: Objects) -> np.ndarray:
    corners, extents = corners_of(objects.boxes), objects.extents
    offset = (corners[:, :2] + corners[:, 2:] - extents[:, :2] - extents[:, 2:]) / 2
    return (np.abs(offset) <= PIXELS + SHARE * (extents[:, 2:] - extents[:, :2])).all(axis=1)


_Reading = Callable[[Objects], np.ndarray]


def _as(form: Callable[[np.ndarray], np.ndarray], unit: float | None = None) -> _Reading:
    """Return a function that tests whether boxes follow a convention.

    Args:
        form: function that converts boxes in this convention to corners.
        unit: width and height of the image in the unit of the boxes, such as 100 for percent. If None, the unit is
            pixels.
    """
    return lambda objects: objects.agree(form(objects.boxes if unit is None else objects.boxes * objects.frames / unit))


def _after_turns(*quarters: int) -> _Reading:
    """Return a function that tests whether boxes refer to the image before a rotation.

    Args:
        quarters: rotations to try, in multiples of 90 degrees.
    """

    def reading(objects: Objects) -> np.ndarray:
        found = [
            objects.agree(_turned(objects.boxes, frames, objects.frames, number))
            for number in quarters
            for frames in (objects.frames, transposed(objects.frames))
        ]
        return np.logical_or.reduce(found)

    return reading


def _mirrored(objects: Objects) -> np.ndarray:
    x1, y1, x2, y2 = np.split(corners_of(objects.boxes), 4, axis=1)
    width, height = objects.frames[:, :1], objects.frames[:, 1:2]
    left_right = np.concatenate([width - x2, y1, width - x1, y2], axis=1)
    up_down = np.concatenate([x1, height - y2, x2, height - y1], axis=1)
    return objects.agree(left_right) | objects.agree(up_down)


def _with_masks(form: Callable[[Objects], np.ndarray]) -> _Reading:
    """Return a function that tests whether boxes are correct, but masks follow a wrong convention.

    Args:
        form: function that converts the extents of masks in the wrong convention to corners in pixels.
    """
    return lambda objects: _near(np.clip(corners_of(objects.boxes), 0, objects.frames), form(objects))


# Maps each box convention to a function that returns a bool array (N,), True for each box that agrees with its mask in
# this convention. The keys complete the sentence "13 of these boxes fit ...".
_READINGS: dict[str, _Reading] = {
    "if they are read as x1, y1, x2, y2": _as(lambda boxes: boxes),
    "if they are read as the box's centre, width, height": _as(centred),
    "if they are read as y, x, height, width": _as(lambda boxes: corners_of(transposed(boxes))),
    "if they are read as y1, x1, y2, x2": _as(transposed),
    **{
        f"if they are read as {name} in {unit} of the image": _as(form, whole)
        for unit, whole in (("fractions", 1), ("percent", 100), ("thousandths", 1000))
        for name, form in (
            ("x, y, width, height", corners_of),
            ("x1, y1, x2, y2", lambda boxes: boxes),
            ("the box's centre, width, height", centred),
        )
    },
    "if the image is rotated by 90 degrees, which EXIF data can require": _after_turns(1, 3),
    "if the image is rotated by 180 degrees, which EXIF data can require": _after_turns(2),
    "if the image is mirrored": _mirrored,
    "if the masks are read as fractions of the image": _with_masks(lambda each: each.extents * each.frames),
    "if the masks' points are read as y, x": _with_masks(lambda each: transposed(each.extents)),
    "if they are moved (perhaps the offset of a tile is missing)": _elsewhere,
    "if they are scaled (perhaps to another size of the image)": _of_another_scale,
    "in the position of the centre but not in size (perhaps they were not rotated)": _around_the_centre,
}
