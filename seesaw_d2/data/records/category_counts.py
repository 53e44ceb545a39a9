"""Images and instances of each category, and the frequency groups rare, common and frequent.

Shapes: C categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seesaw_d2.data.records.records import ObjectColumns, different_pairs, object_columns
from seesaw_d2.errors import ConfigError, DataError

# LVIS's thresholds (Gupta et al., CVPR 2019): rare with at most 10 training images, common with at most 100.
LVIS_THRESHOLDS = (10, 100)
RARE, COMMON, FREQUENT = 0, 1, 2


@dataclass(frozen=True, eq=False)
class CategoryStatistics:
    """Numbers of images and instances of C categories, without crowds."""

    # category names, in the order of the indices
    names: tuple[str, ...]
    num_images: int
    # images with at least one instance
    num_annotated_images: int
    # (C,) int64, images with at least one instance of the category
    image_count: np.ndarray
    # (C,) int64, instances of the category
    instance_count: np.ndarray

    @classmethod
    def from_dataset_dicts(
        cls, dicts: Sequence[dict[str, Any]], num_classes: int, names: Sequence[str] | None = None
    ) -> "CategoryStatistics":
        """Count the objects of Detectron2's dataset dicts.

        Args:
            dicts: the images. Without the key "annotations", an image has no instances.
            num_classes: C.
            names: C category names. None: use the indices as names.

        Raises:
            DataError: a category index is not in [0, C).
        """
        annotated, image_count, instance_count = 0, np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
        for objects in map(ObjectColumns.without_crowds, object_columns(dicts)):
            category = objects.category
            if len(category) and not 0 <= category.min() <= category.max() < num_classes:
                found = category.max() if category.max() >= num_classes else category.min()
                raise DataError(f"category indices must lie in [0, {num_classes}), found {found}")
            image, of_images = different_pairs(objects)
            annotated += np.count_nonzero(np.diff(image, prepend=-1))
            image_count += np.bincount(of_images, minlength=num_classes)
            instance_count += np.bincount(category, minlength=num_classes)
        return cls(
            names=tuple(names) if names is not None else tuple(map(str, range(num_classes))),
            num_images=len(dicts),
            num_annotated_images=int(annotated),
            image_count=_read_only(image_count),
            instance_count=_read_only(instance_count),
        )

    def __add__(self, other: "CategoryStatistics") -> "CategoryStatistics":
        """Return the statistics of the union of two disjoint sets of images."""
        if self.names != other.names:
            raise ConfigError("DATASETS.TRAIN: expected data sets with the same categories in the same order")
        return CategoryStatistics(
            self.names,
            self.num_images + other.num_images,
            self.num_annotated_images + other.num_annotated_images,
            _read_only(self.image_count + other.image_count),
            _read_only(self.instance_count + other.instance_count),
        )


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.int64)
    array.flags.writeable = False  # because cached arrays are shared
    return array


def frequency_groups(image_count: np.ndarray, thresholds: Sequence[int] = LVIS_THRESHOLDS) -> np.ndarray:
    """Return the group of each category: 0 rare, 1 common, 2 frequent.

    Args:
        image_count: (C,) training images with the category.
        thresholds: (a, b), 1 <= a < b: rare with at most a images, common with at most b. A category without images
            is rare, as in LVIS's files.

    Returns:
        (C,) int64.

    Raises:
        ConfigError: the thresholds are not two integers with 1 <= a < b.
    """
    valid = len(thresholds) == 2 and all(type(value) is int for value in thresholds)
    if not valid or not 1 <= thresholds[0] < thresholds[1]:
        raise ConfigError(
            f"DATASETS.FREQUENCY_THRESHOLDS: expected two integers a, b with 1 <= a < b, found {list(thresholds)}"
        )
    return np.searchsorted(np.array(thresholds), np.asarray(image_count), side="left").astype(np.int64)
