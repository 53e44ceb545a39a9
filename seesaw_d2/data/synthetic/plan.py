"""Decide which categories each image of a synthetic dataset shows, before the images are drawn.

Shapes: I is the number of images, C is the number of categories, and P is the number of objects. An image contains at
most one object of each category.
"""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.synthetic.config import GlyphConfig
from seesaw_d2.data.synthetic.seeds import generator

SPLITS = ("train", "val")
# LVIS calls a category rare if at most 10 training images contain it, and common if at most 100 training images do.
RARE_IMAGES, COMMON_IMAGES = 10, 100


@dataclass(frozen=True)
class SplitPlan:
    """Categories of the objects in every image of one split.

    The split has I images and P objects of C categories. An image contains at most one object of each category.

    Attributes:
        split: "train" or "val".
        offsets: (I + 1,) int64. Image i contains the objects ``offsets[i]`` to ``offsets[i + 1] - 1``.
        categories: (P,) int32, category index of each object in [0, C). The objects are sorted by image.
    """

    split: str
    offsets: np.ndarray
    categories: np.ndarray

    @property
    def num_images(self) -> int:
        return len(self.offsets) - 1

    def of_image(self, image: int) -> np.ndarray:
        """Return the category indices of the objects in the image with index ``image``."""
        return self.categories[self.offsets[image] : self.offsets[image + 1]]


def train_image_counts(config: GlyphConfig) -> np.ndarray:
    """Return the number of training images that contain each of the C categories, an array (C,) int64.

    It equals the number of training objects, because an image contains at most one object of each category.
    """
    ranks = generator(config, "ranks").permutation(config.num_categories)  # rank 0 is the most frequent category
    return config.category_images()[ranks]


def frequency(image_count: int) -> str:
    """Return the LVIS frequency group of a category with this number of training images.

    The group is "r" (rare) for up to 10 images, "c" (common) for up to 100 images, and "f" (frequent) otherwise.
    """
    if image_count <= RARE_IMAGES:
        return "r"
    return "c" if image_count <= COMMON_IMAGES else "f"


def plan_split(config: GlyphConfig, split: str) -> SplitPlan:
    """Choose at random which categories each image of a split shows. For 100,000 images, this takes seconds.

    Args:
        config: settings of the dataset, which determine the number of objects of each category.
        split: "train" or "val".
    """
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
    """Choose an image for each of P objects of C categories. The objects of a category get different images.

    Args:
        counts: (C,) number of objects of each category. Their sum is P.
        num_images: number of images.
        max_objects: maximum number of objects per image.
        rng: random generator.

    Returns:
        the image index of each object, (P,). The objects are sorted from the most to the least frequent category.
    """
    for balanced in (False, True):
        images = _try_assign(np.sort(counts)[::-1], num_images, max_objects, rng, balanced)
        if images is not None:
            return images
    # This error never occurs. GlyphConfig checks that a solution exists, and the balanced assignment then finds one.
    raise AssertionError("the images have no room for all objects")


def _try_assign(counts, num_images, max_objects, rng, balanced: bool) -> np.ndarray | None:
    """Choose an image for each of P objects, category by category. The objects of a category get different images.

    Args:
        counts: (C,) number of objects of each category, in descending order. Their sum is P.
        num_images: number of images.
        max_objects: maximum number of objects per image.
        rng: random generator.
        balanced: if True, choose the images with the fewest objects. If False, choose random images. An image is then
            chosen more probably if it has room for more objects.

    Returns:
        the image index of each object, (P,), sorted by category. None if too few images have room for a category.
    """
    room = np.full(num_images, max_objects, dtype=np.int64)
    assigned = []
    for count in counts:
        if balanced:
            key = rng.random(num_images) - room
        else:
            # The images with the smallest keys are a random sample without replacement. Images with room for more
            # objects are more likely to be in the sample.
            key = rng.standard_exponential(num_images) / np.maximum(room, 1)
        key[room == 0] = np.inf
        chosen = np.sort(np.argpartition(key, count - 1)[:count])
        if np.isinf(key[chosen]).any():
            return None
        room[chosen] -= 1
        assigned.append(chosen)
    return np.concatenate(assigned)


def _fill_empty(images: np.ndarray, num_images: int, rng: np.random.Generator) -> None:
    """Move random objects from images with several objects to empty images, so that fewer images are empty.

    Args:
        images: (P,) image index of each of P objects. The function changes the array in place.
        num_images: number of images.
        rng: random generator.
    """
    empty = np.setdiff1d(np.arange(num_images), images)
    order = rng.permutation(len(images))
    _, first = np.unique(images[order], return_index=True)
    # Keep the first object of each image, so that no image becomes empty.
    spare = np.delete(order, first)[: len(empty)]
    images[spare] = empty[: len(spare)]
