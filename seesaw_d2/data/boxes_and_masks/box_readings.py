"""Guess the box convention of an annotation file whose boxes, read as x, y, width, height, do not fit the masks.

Shapes: N is the number of objects. Unless stated otherwise, all arrays are (N, 4) float64 in pixels. Corners are x1,
y1, x2, y2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# A box agrees with a mask if each side of the box is close to the same side of the box around the mask. The distance
# may be PIXELS pixels plus SHARE times the width or height of the mask. This tolerance allows for rounding, and for
# programs that count the last pixel in the width and height.
PIXELS = 2.0
SHARE = 0.05
# A box with fractions of the image size as numbers may exceed 1 by this rounding error.
_ROUNDING = 0.01


def are_fractions(boxes: np.ndarray) -> np.ndarray:
    """Return a bool array (N,), True for each box whose numbers may be fractions of the image size.

    The numbers of such a box are at most 1, plus a rounding error, and its width and height are positive.

    Args:
        boxes: (N, 4) annotated boxes: x, y, width, height.
    """
    return (boxes <= 1 + _ROUNDING).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (x, y, width, height) to (x1, y1, x2, y2)."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def boxes_of(corners: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (x1, y1, x2, y2) to (x, y, width, height)."""
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def centered(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (center x, center y, width, height) to (x1, y1, x2, y2)."""
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], axis=-1)


def transposed(boxes: np.ndarray) -> np.ndarray:
    """Exchange x and y of boxes (..., 4), so that for example (x, y, width, height) become (y, x, height, width)."""
    return boxes[..., [1, 0, 3, 2]]


@dataclass(frozen=True, eq=False)
class Objects:
    """Annotated boxes and masks of N objects. All arrays are (N, 4) float64.

    Attributes:
        boxes: four numbers of each box in the annotation file. Their convention and unit may be wrong.
        extents: x1, y1, x2, y2 of the box around each mask in pixels.
        frames: width, height, width, height of each object's image in pixels. Two copies of the size, so that a box
            x1, y1, x2, y2 can be divided by it.
    """

    boxes: np.ndarray
    extents: np.ndarray
    frames: np.ndarray

    def agree(self, corners: np.ndarray) -> np.ndarray:
        """Compare boxes with the boxes around the masks of the N objects.

        Both are first clipped to the image, because some labelling tools clip only boxes or only masks.

        Args:
            corners: (N, 4) x1, y1, x2, y2 of a box for each object in pixels. A box with NaN does not agree.

        Returns:
            a bool array (N,), True for each box whose four sides agree with the mask up to 2 pixels + 5 % of the mask's
            width or height.
        """
        return _near(np.clip(corners, 0, self.frames), np.clip(self.extents, 0, self.frames))

    def take(self, positions: np.ndarray) -> "Objects":
        return Objects(self.boxes[positions], self.extents[positions], self.frames[positions])


def count_readings(objects: Objects) -> dict[str, int]:
    """Count how many boxes would fit their masks if the boxes followed another convention, such as x1, y1, x2, y2.

    Objects with a mask of at most 4 x 4 pixels are ignored, because almost any box near a small mask agrees with it
    within the tolerance.

    Returns:
        for each convention, the number of objects whose box fits the mask. Example of a key: "if they are read as x1,
        y1, x2, y2".
    """
    objects = objects.take(np.flatnonzero((objects.extents[:, 2:] - objects.extents[:, :2] > 2 * PIXELS).any(axis=1)))
    # Do not warn of divisions by zero. They give NaN, and a box with NaN does not agree with its mask.
    with np.errstate(all="ignore"):
        return {name: int(reading(objects).sum()) for name, reading in _READINGS.items()}


def _near(corners: np.ndarray, extents: np.ndarray) -> np.ndarray:
    sides = np.maximum(extents[:, 2:] - extents[:, :2], 1)
    return (np.abs(corners - extents) <= PIXELS + SHARE * np.concatenate([sides, sides], axis=1)).all(axis=1)


def _turned(boxes: np.ndarray, before: np.ndarray, after: np.ndarray, quarters: int) -> np.ndarray:
    """Rotate N boxes together with their images.

    Args:
        boxes: (N, 4) x, y, width, height of the boxes in the images before the rotation.
        before, after: (N, 4) width, height, width, height of the images before and after the rotation.
        quarters: angle of the rotation in multiples of 90 degrees.

    Returns:
        the rotated boxes (N, 4): x1, y1, x2, y2 in pixels.
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


def _around_the_center(objects: Objects) -> np.ndarray:
    corners, extents = corners_of(objects.boxes), objects.extents
    offset = (corners[:, :2] + corners[:, 2:] - extents[:, :2] - extents[:, 2:]) / 2
    return (np.abs(offset) <= PIXELS + SHARE * (extents[:, 2:] - extents[:, :2])).all(axis=1)


_Reading = Callable[[Objects], np.ndarray]


def _as(form: Callable[[np.ndarray], np.ndarray], unit: float | None = None) -> _Reading:
    """Return a function that tests which objects have a box in a given convention, such as x1, y1, x2, y2 in percent.

    Args:
        form: function that converts boxes (N, 4) in this convention to x1, y1, x2, y2.
        unit: width and height of the image in the unit of the boxes, such as 100 for percent. None for pixels.

    Returns:
        a function from N ``Objects`` to a bool array (N,), True if the converted box fits the mask.
    """
    return lambda objects: objects.agree(form(objects.boxes if unit is None else objects.boxes * objects.frames / unit))


def _after_turns(*quarters: int) -> _Reading:
    """Return a function that tests which boxes fit their masks after a rotation of the image.

    Such boxes refer to the stored image, and the masks refer to the image after the rotation by EXIF data.

    Args:
        quarters: angles to try, in multiples of 90 degrees.

    Returns:
        a function from N ``Objects`` to a bool array (N,), True if the box fits the mask after one of the rotations.
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
    """Return a function that tests which objects have a correct box, but a mask in a wrong convention.

    Args:
        form: function that returns the corrected boxes around the masks of N objects, (N, 4): x1, y1, x2, y2 in pixels.

    Returns:
        a function from N ``Objects`` to a bool array (N,), True if the box fits the corrected mask.
    """
    return lambda objects: _near(np.clip(corners_of(objects.boxes), 0, objects.frames), form(objects))


# Possible mistakes in boxes that do not fit their masks. Each key completes the sentence "13 of these boxes fit their
# masks ..." in a warning. Each value is a function of N objects. It corrects the mistake, and returns a bool array
# (N,), True for each box that then fits its mask.
_READINGS: dict[str, _Reading] = {
    "if they are read as x1, y1, x2, y2": _as(lambda boxes: boxes),
    "if they are read as the box's center, width, height": _as(centered),
    "if they are read as y, x, height, width": _as(lambda boxes: corners_of(transposed(boxes))),
    "if they are read as y1, x1, y2, x2": _as(transposed),
    **{
        f"if they are read as {name} in {unit} of the image": _as(form, whole)
        for unit, whole in (("fractions", 1), ("percent", 100), ("thousandths", 1000))
        for name, form in (
            ("x, y, width, height", corners_of),
            ("x1, y1, x2, y2", lambda boxes: boxes),
            ("the box's center, width, height", centered),
        )
    },
    "if the image is rotated by 90 degrees, which EXIF data can require": _after_turns(1, 3),
    "if the image is rotated by 180 degrees, which EXIF data can require": _after_turns(2),
    "if the image is mirrored": _mirrored,
    "if the masks are read as fractions of the image": _with_masks(lambda each: each.extents * each.frames),
    "if the masks' points are read as y, x": _with_masks(lambda each: transposed(each.extents)),
    "if they are moved (perhaps the offset of a tile is missing)": _elsewhere,
    "if they are scaled (perhaps to another size of the image)": _of_another_scale,
    "in the position of the center but not in size (perhaps they were not rotated)": _around_the_center,
}
