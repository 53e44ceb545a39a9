"""The plan of a split: the categories on each image, chosen before anything is drawn.

Shapes: I images, C categories, P objects (pairs of an image and a category).
"""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.seeds import generator

SPLITS = ("train", "val")
RARE_IMAGES, COMMON_IMAGES = 10, 100  # LVIS: rare on up to 10 training images, common on up to 100


@dataclass(frozen=True)
class SplitPlan:
    """The objects of one split, sorted by image.

    Attributes:
        split: "train" or "val".
        offsets: (I + 1,) int64; image i has the objects offsets[i] to offsets[i + 1].
        categories: (P,) int32, category index from 0 to C - 1; no category twice on an image.
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
    """(C,) the frequency rank of every category: random, so that a glyph's look says nothing about it."""
    return generator(config, "ranks").permutation(config.num_categories)


def train_image_counts(config: GlyphConfig) -> np.ndarray:
    """(C,) int64: training images, and training instances, of every category."""
    return config.category_images()[category_ranks(config)]


def frequency(image_count: int) -> str:
    """LVIS's group of a category: "r", "c" or "f"."""
    if image_count <= RARE_IMAGES:
        return "r"
    return "c" if image_count <= COMMON_IMAGES else "f"


def plan_split(config: GlyphConfig, split: str) -> SplitPlan:
    """Deals the categories of one split to its images; cheap (seconds for 100,000 images), draws nothing."""
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
    """(P,) the images of every category, most frequent category first."""
    for balanced in (False, True):
        images = _try_deal(np.sort(counts)[::-1], num_images, max_objects, rng, balanced)
        if images is not None:
            return images
    # Giving each category the emptiest images succeeds whenever anything does, and the config's check
    # of the capacity has shown that something does.
    raise AssertionError("the capacity was checked")


def _try_deal(counts, num_images, max_objects, rng, balanced: bool) -> np.ndarray | None:
    room = np.full(num_images, max_objects, dtype=np.int64)
    dealt = []
    for count in counts:
        if balanced:
            key = rng.random(num_images) - room
        else:  # an exponential race draws without replacement, in proportion to the room left
            key = rng.standard_exponential(num_images) / np.maximum(room, 1)
        key[room == 0] = np.inf
        chosen = np.sort(np.argpartition(key, count - 1)[:count])
        if np.isinf(key[chosen]).any():
            return None
        room[chosen] -= 1
        dealt.append(chosen)
    return np.concatenate(dealt)


def _fill_empty(images: np.ndarray, num_images: int, rng: np.random.Generator) -> None:
    """Moves an object to every empty image from images with several, in place, as far as they reach."""
    empty = np.setdiff1d(np.arange(num_images), images)
    order = rng.permutation(len(images))
    _, first = np.unique(images[order], return_index=True)
    spare = np.delete(order, first)[: len(empty)]  # every image keeps one
    images[spare] = empty[: len(spare)]
