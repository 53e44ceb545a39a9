"""Simulated dataset dicts with given category frequencies, without images.

Shapes: C categories, I images.
"""

import numpy as np

from seesaw_d2.errors import DataError
from seesaw_d2.utils.json_reading import load_json
from seesaw_d2.utils.messages import reason

_EXPECTED = 'expected a list of categories with "name", "image_count" and "instance_count"'


def deal_images(image_count, instance_count, num_images: int, num_annotated: int, seed: int = 0) -> list[dict]:
    """Return random dataset dicts with exactly these counts.

    Every annotated image gets one category. The remaining images of a category, and its additional instances, are drawn
    at random. Unlike in real images, categories occur independently of each other.

    Args:
        image_count: (C,) images with the category, at most ``num_annotated`` each.
        instance_count: (C,) instances of the category, at least ``image_count``.
        num_images: I.
        num_annotated: number of images with an object, at most I and at most the sum of ``image_count``. These come
            first.
        seed: seed of the random choices.

    Returns:
        I dicts with "image_id" and "annotations", which have only a "category_id".

    Raises:
        DataError: ``num_annotated`` is smaller than the images of a category, or larger than allowed.
    """
    rng = np.random.default_rng(seed)
    image_count, instance_count = np.asarray(image_count), np.asarray(instance_count)
    if not max(1, image_count.max()) <= num_annotated <= min(num_images, image_count.sum()):
        raise DataError(
            f"annotated images: expected a number from {max(1, image_count.max())} (images of the most frequent "
            f"category) to {min(num_images, image_count.sum())} for {num_images} images, found {num_annotated}"
        )
    annotations = [[] for _ in range(num_images)]
    first = rng.multivariate_hypergeometric(image_count, num_annotated)
    firsts = np.split(rng.permutation(num_annotated), np.cumsum(first)[:-1])
    for category, own in enumerate(firsts):
        free = np.ones(num_annotated, dtype=bool)
        free[own] = False
        others = rng.choice(np.flatnonzero(free), image_count[category] - len(own), replace=False)
        images = np.concatenate([own, others])
        item = {"category_id": category}  # shared by all instances, which are only read
        for image in (*images, *rng.choice(images, instance_count[category] - len(images))):
            annotations[image].append(item)
    return [{"image_id": index, "annotations": items} for index, items in enumerate(annotations)]


def read_category_counts(path: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return names, images (C,) and instances (C,) of the categories in a JSON list or an LVIS file.

    Raises:
        DataError: the file is missing, or is not a list of objects with "name", "image_count" and "instance_count".
    """
    items = load_json(path, _EXPECTED)
    try:
        items = items["categories"] if isinstance(items, dict) else items
        names = [item["name"] for item in items]
        counts = np.array([[item["image_count"], item["instance_count"]] for item in items], dtype=np.int64)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DataError(f"{path}: {_EXPECTED} ({type(error).__name__}: {reason(error)})") from error
    if not all(isinstance(name, str) for name in names):
        raise DataError(f'{path}: expected text as "name" of each category, found other values')
    counts = counts.reshape(-1, 2)
    if not len(counts) or (counts[:, 1] < counts[:, 0]).any() or (counts < 0).any():
        raise DataError(f'{path}: expected categories with 0 <= "image_count" <= "instance_count"')
    return names, counts[:, 0], counts[:, 1]
