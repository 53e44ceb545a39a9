"""Assign categories to the images of a split before the images are drawn.

Shapes: I is the number of images, C is the number of categories, and P is the number of objects. An object is a pair of
an image and a category.
"""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.seeds import generator

SPLITS = ("train", "val")
# LVIS's maximum numbers of training images: 10 for a rare category, and 100 for a common category.
RARE_IMAGES, COMMON_IMAGES = 10, 100


@dataclass(frozen=True)
class SplitPlan:
    """Objects of one split, sorted by image.

    Attributes:
        split: "train" or "val".
        offsets: (I + 1,) int64. The objects of image i are categories[offsets[i]:offsets[i + 1]].
        categories: (P,) int32, category index of each object in [0, C). An image contains a category at most once.
    """

    split: str
    offsets: np.ndarray
    categories: np.ndarray

    @property
    def num_images(self) -> int:
        return len(self.offsets) - 1

    def of_image(self, image: int) -> np.ndarray:
        """Return the category indices of the objects in an image."""
        return self.categories[self.offsets[image] : self.offsets[image + 1]]


def train_image_counts(config: GlyphConfig) -> np.ndarray:
    """Return the number of training images of each category, (C,) int64. The number of instances is the same."""
    ranks = generator(config, "ranks").permutation(config.num_categories)  # 0 is the most frequent category
    return config.category_images()[ranks]


def frequency(image_count: int) -> str:
    """Return LVIS's frequency group, "r", "c" or "f", of a category with ``image_count`` training images."""
    if image_count <= RARE_IMAGES:
        return "r"
    return "c" if image_count <= COMMON_IMAGES else "f"


def plan_split(config: GlyphConfig, split: str) -> SplitPlan:
    """Assign categories to the images of a split, "train" or "val". For 100,000 images, this takes seconds."""
    if split == "train":
        counts, num_images = train_image_counts(config), config.num_train_images
    else:
        counts = np.full(config.num_categories, config.val_instances_per_category)
        num_images = config.num_val_images
    rng = generator(config, "plan", SPLITS.index(split))
    images = _assign(counts, num_images, config.max_objects, rng)
    categories = np.repeat(np.argsort(-counts, kind="stable"), np.sort(counts)[::-1]).astype(np.int32)
    _fill_empty(images, num_images, rng)
    order = np.argsort(images, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(images, minlength=num_images))])
    return SplitPlan(split, offsets, categories[order])


def _assign(counts: np.ndarray, num_images: int, max_objects: int, rng: np.random.Generator) -> np.ndarray:
    """Return the image index of each object, (P,). The objects are sorted from the most to the least frequent category.

    Args:
        counts: (C,) number of objects of each category.
        num_images: number of images I.
        max_objects: maximum number of objects per image.
        rng: random generator.
    """
    for balanced in (False, True):
        images = _try_assign(np.sort(counts)[::-1], num_images, max_objects, rng, balanced)
        if images is not None:
            return images
    # If any assignment exists, the balanced assignment succeeds. GlyphConfig checks that an assignment exists.
    raise AssertionError("the images have no room for all objects")


def _try_assign(counts, num_images, max_objects, rng, balanced: bool) -> np.ndarray | None:
    """Assign each category to random images or, if ``balanced`` is True, to the images with the fewest objects.

    Return the image index of each object, (P,), or None if too few images have room for a category.
    """
    room = np.full(num_images, max_objects, dtype=np.int64)
    assigned = []
    for count in counts:
        if balanced:
            key = rng.random(num_images) - room
        else:  # the images with the smallest keys are a sample without replacement, weighted by room
            key = rng.standard_exponential(num_images) / np.maximum(room, 1)
        key[room == 0] = np.inf
        chosen = np.sort(np.argpartition(key, count - 1)[:count])
        if np.isinf(key[chosen]).any():
            return None
        room[chosen] -= 1
        assigned.append(chosen)
    return np.concatenate(assigned)


def _fill_empty(images: np.ndarray, num_images: int, rng: np.random.Generator) -> None:
    """Move objects from images with several objects to empty images, as long as both exist.

    Args:
        images: (P,) image index of each object, changed in place.
        num_images: number of images I.
        rng: random generator.
    """
    empty = np.setdiff1d(np.arange(num_images), images)
    order = rng.permutation(len(images))
    _, first = np.unique(images[order], return_index=True)
    spare = np.delete(order, first)[: len(empty)]  # each image keeps its first object
    images[spare] = empty[: len(spare)]
