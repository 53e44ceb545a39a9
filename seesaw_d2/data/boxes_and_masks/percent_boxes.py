"""Find annotation files whose boxes probably contain percent of the image size instead of pixels.

Boxes in pixels must not be reported. Therefore, a file is reported only if it has many boxes in large images, all these
boxes lie in the upper left 100 x 100 pixels, and they extend over this whole square.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Only boxes in images whose width and height are at least LARGE pixels are examined.
LARGE = 400
# A file with fewer boxes in large images is not reported.
MIN_BOXES = 50
# A box in percent may exceed 0 or 100 by this rounding error.
_ROUNDING = 1.0
_NUM_IDS = 6


@dataclass(frozen=True)
class LargeImageBoxes:
    """Extent of the boxes in large images of an annotation file, or of a part of the file.

    Attributes:
        ids: the first annotation ids of these boxes.
        count: number of these boxes.
        low: minimum x and minimum y of the upper left corners.
        start: maximum x and maximum y of the upper left corners.
        high: maximum x and maximum y of the lower right corners.
    """

    ids: tuple[int, ...] = ()
    count: int = 0
    low: tuple[float, ...] = (np.inf, np.inf)
    start: tuple[float, ...] = (-np.inf, -np.inf)
    high: tuple[float, ...] = (-np.inf, -np.inf)

    @classmethod
    def of(cls, ids: np.ndarray, boxes: np.ndarray, sizes: np.ndarray) -> "LargeImageBoxes":
        """Describe the boxes in large images.

        Args:
            ids: (N,) annotation ids.
            boxes: (N, 4) annotated boxes: x, y, width, height.
            sizes: (N, 2) height and width of each box's image in pixels.
        """
        large = (sizes >= LARGE).all(axis=1)
        if not large.any():
            return cls()
        starts, sides = np.split(boxes[large], 2, axis=1)
        low, start, high = starts.min(axis=0), starts.max(axis=0), (starts + sides).max(axis=0)
        first = ids[large][:_NUM_IDS]
        return cls(tuple(first.tolist()), len(starts), *(tuple(each.tolist()) for each in (low, start, high)))

    @classmethod
    def joined(cls, parts: Sequence["LargeImageBoxes"]) -> "LargeImageBoxes":
        """Describe the boxes of all parts of a file."""
        parts = [cls(), *parts]
        ids = [value for part in parts for value in part.ids][:_NUM_IDS]
        low = tuple(map(min, zip(*(part.low for part in parts), strict=True)))
        start = tuple(map(max, zip(*(part.start for part in parts), strict=True)))
        high = tuple(map(max, zip(*(part.high for part in parts), strict=True)))
        return cls(tuple(ids), sum(part.count for part in parts), low, start, high)

    def are_percent(self) -> bool:
        """Return True if there are many boxes, they extend over the range of percent, and no box exceeds this range."""
        return (
            self.count >= MIN_BOXES
            and min(self.low) >= -_ROUNDING
            and max(self.low) <= 10
            and min(self.start) >= 50
            and min(self.high) >= 90
            and max(self.high) <= 100 + _ROUNDING
        )
