"""What the engines find."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Curves:
    """What evaluation finds. -1 where there is nothing to find (no object of that category and size).

    T IoU thresholds, R recall levels, C categories by ascending id, A object sizes (all, small, medium, large).

    ``precision``: (T, R, C, A) float64. ``recall``: (T, C, A) float64. ``category_ids``: C ids, ascending.
    """

    precision: np.ndarray
    recall: np.ndarray
    category_ids: list[int]
