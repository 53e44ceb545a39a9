"""Define the three frequency groups of categories: 0 rare, 1 common, 2 frequent.

Shapes: C is the number of categories.
"""

from collections.abc import Sequence

import numpy as np

from seesaw_d2.errors import ConfigError

GROUP_NAMES = ("rare", "common", "frequent")
# LVIS's annotation files store these letters as the "frequency" of a category, in the order of GROUP_NAMES.
GROUP_LETTERS = ("r", "c", "f")
# In image classification, the groups rare, common and frequent have these names. A shot is a training image.
SHOT_NAMES = ("few", "medium", "many")
NAME_OF_LETTER = dict(zip(GROUP_LETTERS, GROUP_NAMES, strict=True))
# Thresholds of LVIS (Gupta et al., CVPR 2019): categories with at most 10 training images are rare, and categories with
# 11 to 100 training images are common.
LVIS_THRESHOLDS = (10, 100)


def frequency_groups(image_count: np.ndarray, thresholds: Sequence[int] = LVIS_THRESHOLDS) -> np.ndarray:
    """Return the frequency group of each category: 0 rare, 1 common, 2 frequent.

    Args:
        image_count: (C,), number of training images that contain each of C categories.
        thresholds: (a, b), 1 <= a < b. Categories with 0 to a images are rare, categories with a + 1 to b images are
            common, and categories with more than b images are frequent.

    Returns:
        (C,) int64, the group of each category.

    Raises:
        ConfigError: the thresholds are not two integers with 1 <= a < b.
    """
    valid = len(thresholds) == 2 and all(type(value) is int for value in thresholds)
    if not valid or not 1 <= thresholds[0] < thresholds[1]:
        raise ConfigError(
            "DATASETS.FREQUENCY_THRESHOLDS: expected two increasing integers >= 1, such as [10, 100], found "
            f"{list(thresholds)}"
        )
    return np.searchsorted(np.array(thresholds), np.asarray(image_count), side="left").astype(np.int64)
