"""Create dataset dicts with given category counts, to analyze sampling without a dataset.

Shapes: C is the number of categories, and I is the number of images.
"""

import numpy as np

from seesaw_d2.errors import DataError
from seesaw_d2.utils.json_reading import load_json
from seesaw_d2.utils.messages import json_type, reason, shown

_NEEDED = 'a list of categories with "name", "image_count" and "instance_count"'


def deal_images(image_count, instance_count, num_images: int, num_annotated: int, seed: int = 0) -> list[dict]:
    """Create dataset dicts that have the given category counts, by distributing categories randomly over images.

    First, each annotated image gets one category. Then the remaining images and instances of each category are drawn
    randomly. Unlike in real images, the categories in an image are independent of each other.

    Args:
        image_count: (C,) number of images with each of the C categories, at most ``num_annotated``.
        instance_count: (C,) number of instances of each category, at least ``image_count``.
        num_images: number of images I.
        num_annotated: number of images with an object, at most I and at most the sum of ``image_count``. These images
            come first in the returned list.
        seed: seed of the random numbers.

    Returns:
        I dicts with the keys "image_id" and "annotations". The only key of an annotation is "category_id".

    Raises:
        DataError: ``num_annotated`` is out of range.
    """
    rng = np.random.default_rng(seed)
    image_count, instance_count = np.asarray(image_count), np.asarray(instance_count)
    least, most = max(1, image_count.max()), image_count.sum()
    if num_annotated < least:
        raise DataError(
            f"--num-images: expected at least {least} annotated images, found {num_annotated}. The most frequent "
            f"category occurs in {image_count.max()} images."
        )
    if num_annotated > min(num_images, most):
        raise DataError(
            f"--num-images: expected at most {min(num_images, most)} annotated images, found {num_annotated}. The data "
            f"set has {num_images} images, and the image counts of all categories sum to {most}."
        )
    annotations = [[] for _ in range(num_images)]
    first = rng.multivariate_hypergeometric(image_count, num_annotated)
    firsts = np.split(rng.permutation(num_annotated), np.cumsum(first)[:-1])
    for category, own in enumerate(firsts):
        free = np.ones(num_annotated, dtype=bool)
        free[own] = False
        others = rng.choice(np.flatnonzero(free), image_count[category] - len(own), replace=False)
        images = np.concatenate([own, others])
        # All instances of the category share one dict, to save memory.
        item = {"category_id": category}
        for image in (*images, *rng.choice(images, instance_count[category] - len(images))):
            annotations[image].append(item)
    return [{"image_id": index, "annotations": items} for index, items in enumerate(annotations)]


def read_category_counts(path: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read category counts from a JSON list of categories, or from an annotation file in LVIS format.

    Returns:
        C category names, the number of images with each category (C,), and the number of its instances (C,).

    Raises:
        DataError: the file is missing, a category lacks "name", "image_count" or "instance_count", or a count is not
            an integer.
    """
    items = load_json(path, f"expected {_NEEDED}")
    try:
        items = items["categories"] if isinstance(items, dict) else items
        names = [item["name"] for item in items]
        values = [[item["image_count"], item["instance_count"]] for item in items]
        wrong = [value for pair in values for value in pair if type(value) is not int]
        counts = np.array(values if not wrong else [], dtype=np.int64)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DataError(
            f"{path}: cannot read the category counts ({type(error).__name__}: {reason(error)}). The file must contain "
            f"{_NEEDED}."
        ) from error
    if not all(isinstance(name, str) for name in names):
        found = json_type(next(name for name in names if not isinstance(name, str)))
        raise DataError(f'{path}: "name": expected strings, found {found}')
    if wrong:
        raise DataError(f'{path}: "image_count" and "instance_count": expected integers, found {shown(wrong[0])}')
    counts = counts.reshape(-1, 2)
    if not len(counts):
        raise DataError(f"{path}: expected at least one category, found an empty list")
    wrong = np.flatnonzero((counts[:, 1] < counts[:, 0]) | (counts < 0).any(axis=1))
    if len(wrong):
        images, instances = counts[wrong[0]]
        raise DataError(
            f'{path}: category {names[wrong[0]]!r} (index {wrong[0]}): expected an "image_count" from 0 to the '
            f'"instance_count", found "image_count" {images} and "instance_count" {instances}'
        )
    return names, counts[:, 0], counts[:, 1]
