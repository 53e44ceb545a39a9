"""Data sets of a given frequency distribution, without images: categories dealt to images at random.

Shapes: C categories, I images.
"""

import json

import numpy as np

from seesaw_d2.errors import DataError


def deal_images(image_count, instance_count, num_images: int, num_annotated: int, seed: int = 0) -> list[dict]:
    """Dataset dicts with exactly these counts, everything else at random.

    Every annotated image gets one category first, the rest are dealt to the annotated images at random; a category's
    instances beyond one an image are dealt to its images at random. Unlike real images these know nothing of
    categories that occur together.

    Args:
        image_count: (C,) images with the category, each at most ``num_annotated``.
        instance_count: (C,) instances of the category, at least as many.
        num_images: I.
        num_annotated: images with an object, at most I and at most the sum of ``image_count``; the first ones.
        seed: of the dealing.

    Returns:
        I dicts with "image_id" and "annotations", which hold a "category_id" alone.

    Raises:
        DataError: there are too few images for a category, or too many to have an object each.
    """
    rng = np.random.default_rng(seed)
    image_count, instance_count = np.asarray(image_count), np.asarray(instance_count)
    if not max(1, image_count.max()) <= num_annotated <= min(num_images, image_count.sum()):
        raise DataError(
            f"annotated images: expected {max(1, image_count.max())} (the most frequent category's) to "
            f"{min(num_images, image_count.sum())} of {num_images}, found {num_annotated}"
        )
    annotations = [[] for _ in range(num_images)]
    first = rng.multivariate_hypergeometric(image_count, num_annotated)
    firsts = np.split(rng.permutation(num_annotated), np.cumsum(first)[:-1])
    for category, own in enumerate(firsts):
        free = np.ones(num_annotated, dtype=bool)
        free[own] = False
        others = rng.choice(np.flatnonzero(free), image_count[category] - len(own), replace=False)
        images = np.concatenate([own, others])
        item = {"category_id": category}  # one object for all: they are only read
        for image in (*images, *rng.choice(images, instance_count[category] - len(images))):
            annotations[image].append(item)
    return [{"image_id": index, "annotations": items} for index, items in enumerate(annotations)]


def read_category_counts(path: str) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names (C), images and instances (C,) of each category from a JSON list or the "categories" of an LVIS file.

    Raises:
        DataError: the file is missing, or no list of objects with "name", "image_count" and "instance_count".
    """
    try:
        with open(path) as file:
            items = json.load(file)
        items = items["categories"] if isinstance(items, dict) else items
        names = [item["name"] for item in items]
        counts = np.array([[item["image_count"], item["instance_count"]] for item in items], dtype=np.int64)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f'{path}: expected a list of categories with "name", "image_count" and "instance_count" ({error!r})'
        ) from error
    counts = counts.reshape(-1, 2)
    if not len(counts) or (counts[:, 1] < counts[:, 0]).any() or (counts < 0).any():
        raise DataError(f'{path}: expected categories with 0 <= "image_count" <= "instance_count"')
    return names, counts[:, 0], counts[:, 1]
