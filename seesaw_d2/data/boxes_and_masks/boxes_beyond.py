"""Find annotation files whose boxes exceed the images as x, y, width, height, but not in another convention.

Only boxes without a mask are examined. Boxes with a mask are compared with the mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.boxes_and_masks.box_readings import PIXELS, SHARE, centered, corners_of

# A file is reported if at least the fraction BEYOND of its boxes exceed the images, and at least the fraction INSIDE of
# its boxes are inside the images in another convention. Correct boxes exceed images if a tool does not clip them.
BEYOND, INSIDE = 0.1, 0.99
_CONVENTIONS = ("x1, y1, x2, y2", "the box's center, width, height")
_NUM_IDS = 6


@dataclass(frozen=True)
class BoxesBeyond:
    """Numbers of boxes without a mask in an annotation file, or in a part of the file.

    Attributes:
        ids: the first annotation ids of the boxes that exceed their images as x, y, width, height.
        count: number of boxes without a mask.
        beyond: number of boxes that exceed their images by more than 2 pixels + 5 % of the image size.
        inside: for each of ``_CONVENTIONS``, the number of boxes that are inside their images in this convention.
    """

    ids: tuple[int, ...] = ()
    count: int = 0
    beyond: int = 0
    inside: tuple[int, ...] = (0, 0)

    @classmethod
    def of(cls, ids: np.ndarray, boxes: np.ndarray, frames: np.ndarray) -> "BoxesBeyond":
        """Count the boxes of N objects without a mask.

        Args:
            ids: (N,) annotation ids.
            boxes: (N, 4) annotated boxes: x, y, width, height.
            frames: (N, 4) width, height, width, height of each object's image in pixels.
        """
        if not len(boxes):
            return cls()
        beyond = (corners_of(boxes) > frames * (1 + SHARE) + PIXELS).any(axis=1)
        inside = []
        for corners in (boxes, centered(boxes)):
            within = (corners >= -PIXELS) & (corners <= frames + PIXELS)
            inside.append(int((within.all(axis=1) & (corners[:, 2:] > corners[:, :2]).all(axis=1)).sum()))
        return cls(tuple(ids[beyond][:_NUM_IDS].tolist()), len(boxes), int(beyond.sum()), tuple(inside))

    @classmethod
    def joined(cls, parts: Sequence["BoxesBeyond"]) -> "BoxesBeyond":
        """Add the numbers of all parts of a file."""
        inside = tuple(sum(part.inside[index] for part in parts) for index in range(len(_CONVENTIONS)))
        ids = tuple(value for part in parts for value in part.ids)[:_NUM_IDS]
        return cls(ids, sum(part.count for part in parts), sum(part.beyond for part in parts), inside)

    def describe(self) -> str:
        """Return the text of a warning, or "" if the boxes are probably x, y, width, height in pixels."""
        most = max(self.inside)
        if not self.beyond or self.beyond < BEYOND * self.count or most < INSIDE * self.count:
            return ""
        listed = ", ".join(map(str, self.ids[:5]))
        ids = listed if self.beyond <= 5 else f"{listed}, … ({self.beyond} in all)"
        return (
            f"{self.beyond} of {self.count} boxes without masks exceed their images as x, y, width, height (annotation "
            f"ids {ids}), but {most} of these {self.count} boxes are inside their images as "
            f"{_CONVENTIONS[self.inside.index(most)]}. Convert the boxes to x, y, width, height in pixels"
        )
