"""Count the images and instances of each category.

Shapes: C is the number of categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seesaw_d2.data.classification.labels import plain
from seesaw_d2.data.records.records import ObjectColumns, different_pairs, object_columns
from seesaw_d2.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class CategoryStatistics:
    """Numbers of images and instances of each category. Crowds are not counted.

    Attributes:
        names: names of the C categories, in the order of class indices.
        num_images: number of all images.
        num_annotated_images: number of images with at least one instance.
        image_count: (C,) int64, number of images with at least one instance of each category.
        instance_count: (C,) int64, number of instances of each category.
    """

    names: tuple[str, ...]
    num_images: int
    num_annotated_images: int
    image_count: np.ndarray
    instance_count: np.ndarray

    @classmethod
    def from_dataset_dicts(
        cls, dicts: Sequence[dict[str, Any]], num_classes: int, names: Sequence[str] | None = None
    ) -> "CategoryStatistics":
        """Count the images and instances of each category in Detectron2's dataset dicts.

        Args:
            dicts: dataset dicts. A dict without the key "annotations" counts as an image without instances.
            num_classes: number of categories C.
            names: C category names. If None, use the class indices as names.

        Raises:
            DataError: a ``category_id`` in the dicts is not in [0, C).
        """
        annotated, image_count, instance_count = 0, np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
        for objects in map(ObjectColumns.without_crowds, object_columns(dicts)):
            category = objects.category
            if len(category) and not 0 <= category.min() <= category.max() < num_classes:
                found = category.max() if category.max() >= num_classes else category.min()
                raise DataError(
                    f"category_id in the dataset dicts: expected indices from 0 to {num_classes - 1}, found {found}"
                )
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
        """Return the sums of all counts, for example for two training sets. No image may be in both datasets.

        Raises:
            ConfigError: the category names differ.
        """
        if self.names != other.names:
            raise ConfigError(
                "DATASETS.TRAIN: the datasets must have the same categories in the same order, but "
                f"{first_difference(self.names, other.names)}"
            )
        return CategoryStatistics(
            self.names,
            self.num_images + other.num_images,
            self.num_annotated_images + other.num_annotated_images,
            _read_only(self.image_count + other.image_count),
            _read_only(self.instance_count + other.instance_count),
        )


def first_difference(first: Sequence[str], second: Sequence[str]) -> str:
    """Describe for messages the first index at which two lists of category names differ, or the different lengths."""
    for index, (left, right) in enumerate(zip(first, second, strict=False)):
        if left != right:
            hint = " (the names differ only in case, spaces or Unicode form)" if plain(left) == plain(right) else ""
            return f"the category with index {index} is {left!r} in the first dataset and {right!r} in the second{hint}"
    return f"the first dataset has {len(first)} categories and the second has {len(second)}"


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.int64)
    array.flags.writeable = False  # the statistics are cached, so a write would affect all callers
    return array
