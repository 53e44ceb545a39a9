"""Detection of boxes that follow another convention than x, y, width, height in pixels, by comparison with masks.

Shapes: all arrays are (N, 4) float64 with one row per object, in pixels unless another unit is given. Corners are x1,
y1, x2, y2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Tolerance for each side in pixels, for rounding and for conventions about the last pixel.
PIXELS = 2.0
# Additional tolerance as a fraction of the mask's width or height.
SHARE = 0.05


def corners_of(boxes: np.ndarray) -> np.ndarray:
    """Return the corners of boxes x, y, width, height."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def boxes_of(corners: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (x1, y1, x2, y2) to (x, y, width, height)."""
    return np.concatenate([corners[..., :2], corners[..., 2:] - corners[..., :2]], axis=-1)


def centred(boxes: np.ndarray) -> np.ndarray:
    """Convert boxes (..., 4) from (center x, center y, width, height) to (x1, y1, x2, y2)."""
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], axis=-1)


def transposed(boxes: np.ndarray) -> np.ndarray:
    """Return boxes or corners with x and y exchanged."""
    return boxes[..., [1, 0, 3, 2]]


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects with a box and a mask.

    Attributes:
        boxes: as in the annotation file.
        extents: x1, y1, x2, y2 of the masks.
        frames: width, height, width, height of the images.
    """

    boxes: np.ndarray
    extents: np.ndarray
    frames: np.ndarray

    def agree(self, corners: np.ndarray) -> np.ndarray:
        """Return whether boxes agree with the masks, up to ``PIXELS`` and ``SHARE`` at each side: (N,) bool.

        Both are clipped to the image first, because some tools clip only boxes and others only masks.

        Args:
            corners: corners of the boxes. NaN never agrees.
        """
        return _near(np.clip(corners, 0, self.frames), np.clip(self.extents, 0, self.frames))

    def take(self, positions: np.ndarray) -> "Objects":
        return Objects(self.boxes[positions], self.extents[positions], self.frames[positions])


def count_readings(objects: Objects) -> dict[str, int]:
    """Return a dict from possible convention to the number of objects whose box it explains.

    Masks of a few pixels are ignored, because every convention explains them.
    """
    objects = objects.take(np.flatnonzero((objects.extents[:, 2:] - objects.extents[:, :2] > 2 * PIXELS).any(axis=1)))
    with np.errstate(all="ignore"):  # division by zero gives NaN
        return {name: int(reading(objects).sum()) for name, reading in _READINGS.items()}


def _near(corners: np.ndarray, extents: np.ndarray) -> np.ndarray:
    sides = np.maximum(extents[:, 2:] - extents[:, :2], 1)
    return (np.abs(corners - extents) <= PIXELS + SHARE * np.concatenate([sides, sides], axis=1)).all(axis=1)


def _turned(boxes: np.ndarray, before: np.ndarray, after: np.ndarray, quarters: int) -> np.ndarray:
    """Return the corners after quarter turns of an image. ``before`` and ``after`` are its frames."""
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
    """Return the reading of boxes in another form and unit, where ``unit`` is the size of the whole image."""
    return lambda objects: objects.agree(form(objects.boxes if unit is None else objects.boxes * objects.frames / unit))


def _after_turns(*quarters: int) -> _Reading:
    """Return the reading of boxes in the image before quarter turns, in fractions or pixels of that image."""

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
    """Return the reading of correct boxes with masks in another form."""
    return lambda objects: _near(np.clip(corners_of(objects.boxes), 0, objects.frames), form(objects))


# Possible convention -> function that returns a bool array (N,), True where it explains the box.
_READINGS: dict[str, _Reading] = {
    "right as x1, y1, x2, y2": _as(lambda boxes: boxes),
    "right as the box's centre, width, height": _as(centred),
    "right as y, x, height, width": _as(lambda boxes: corners_of(transposed(boxes))),
    "right as y1, x1, y2, x2": _as(transposed),
    **{
        f"right as {name} in {unit} of the image": _as(form, whole)
        for unit, whole in (("fractions", 1), ("percent", 100), ("thousandths", 1000))
        for name, form in (
            ("x, y, width, height", corners_of),
            ("x1, y1, x2, y2", lambda boxes: boxes),
            ("the box's centre, width, height", centred),
        )
    },
    "right after a quarter turn of the image, as EXIF data ask for": _after_turns(1, 3),
    "right after half a turn of the image, as EXIF data ask for": _after_turns(2),
    "right in the mirrored image": _mirrored,
    "right, and the masks are in fractions of the image": _with_masks(lambda each: each.extents * each.frames),
    "right, and the masks' points are y, x": _with_masks(lambda each: transposed(each.extents)),
    "of the masks' size in another place (the offset of a tile?)": _elsewhere,
    "right for an image of another size": _of_another_scale,
    "around the masks' centres, of another size (boxes before a rotation?)": _around_the_centre,
}
