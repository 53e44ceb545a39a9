"""Plan a split: select the categories in each image before anything is drawn.

Shapes: I images, C categories, P objects (pairs of an image and a category).
"""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.seeds import generator

SPLITS = ("train", "val")
RARE_IMAGES, COMMON_IMAGES = 10, 100  # LVIS's thresholds: rare in up to 10 training images, common in up to 100


@dataclass(frozen=True)
class SplitPlan:
    """The objects of one split, sorted by image.

    Attributes:
        split: "train" or "val".
        offsets: (I + 1,) int64. Image i has the objects offsets[i] to offsets[i + 1] - 1.
        categories: (P,) int32, category indices from 0 to C - 1. An image has each category at most once.
    """

    split: str
    offsets: np.ndarray
    categories: np.ndarray

    @property
    def num_images(self) -> int:
        return len(self.offsets) - 1

    def of_image(self, image: int) -> np.ndarray:
        """Return the category indices of the image's objects."""
        return self.categories[self.offsets[image] : self.offsets[image + 1]]


def category_ranks(config: GlyphConfig) -> np.ndarray:
    """Return a random frequency rank for each category, (C,), which does not depend on the glyph's appearance."""
    return generator(config, "ranks").permutation(config.num_categories)


def train_image_counts(config: GlyphConfig) -> np.ndarray:
    """Return the number of training images of each category, (C,) int64. It equals the number of instances."""
    return config.category_images()[category_ranks(config)]


def frequency(image_count: int) -> str:
    """Return LVIS's group of a category: "r", "c" or "f"."""
    if image_count <= RARE_IMAGES:
        return "r"
    return "c" if image_count <= COMMON_IMAGES else "f"


def plan_split(config: GlyphConfig, split: str) -> SplitPlan:
    """Distribute the categories of a split over its images. It takes seconds for 100,000 images."""
    if split == "train":
        counts, num_images = train_image_counts(config), config.num_train_images
    else:
        counts = np.full(config.num_categories, config.val_instances_per_category)
        num_images = config.num_val_images
    rng = generator(config, "plan", SPLITS.index(split))
    images = _deal(counts, num_images, config.max_objects, rng)
    categories = np.repeat(np.argsort(-counts, kind="stable"), np.sort(counts)[::-1]).astype(np.int32)
    _fill_empty(images, num_images, rng)
    order = np.argsort(images, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(images, minlength=num_images))])
    return SplitPlan(split, offsets, categories[order])


def _deal(counts: np.ndarray, num_images: int, max_objects: int, rng: np.random.Generator) -> np.ndarray:
    """Return the images of each category, (P,), with the most frequent category first."""
    for balanced in (False, True):
        images = _try_deal(np.sort(counts)[::-1], num_images, max_objects, rng, balanced)
        if images is not None:
            return images
    # Assigning each category to the emptiest images succeeds if any assignment exists, which the config's check of the
    # capacity ensures.
    raise AssertionError("the capacity was checked")


def _try_deal(counts, num_images, max_objects, rng, balanced: bool) -> np.ndarray | None:
    room = np.full(num_images, max_objects, dtype=np.int64)
    dealt = []
    for count in counts:
        if balanced:
            key = rng.random(num_images) - room
        else:  # exponential random variables draw without replacement, in proportion to the free capacity
            key = rng.standard_exponential(num_images) / np.maximum(room, 1)
        key[room == 0] = np.inf
        chosen = np.sort(np.argpartition(key, count - 1)[:count])
        if np.isinf(key[chosen]).any():
            return None
        room[chosen] -= 1
        dealt.append(chosen)
    return np.concatenate(dealt)


def _fill_empty(images: np.ndarray, num_images: int, rng: np.random.Generator) -> None:
    """Move objects from images with several objects to empty images, in place, as long as there are such images."""
    empty = np.setdiff1d(np.arange(num_images), images)
    order = rng.permutation(len(images))
    _, first = np.unique(images[order], return_index=True)
    spare = np.delete(order, first)[: len(empty)]  # every image keeps one object
    images[spare] = empty[: len(spare)]
