"""Define and check the settings of a synthetic dataset, whose objects are drawn characters, called glyphs."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from seesaw_d2.data.synthetic.alphabet import ALPHABETS
from seesaw_d2.errors import ConfigError

# If ``GlyphConfig.decay`` is None, the number of training images per category falls exponentially, down to this number
# (2.2) for the last category. With this fixed end, the fractions of rare, common and frequent categories do not depend
# on the number of categories.
TAIL_IMAGES = 600 * math.exp(-0.14 * 40)
BACKGROUNDS = ("textured", "plain")
# Objects that do not fit into an image at random positions are drawn in the smallest size, and placed in the cells of a
# square grid. The side of a cell must be at least CELL_MARGIN times as long as the smallest object.
CELL_MARGIN = 1.1


@dataclass(frozen=True)
class GlyphConfig:
    """Settings of a synthetic long-tailed dataset, whose objects are characters and pairs of characters (glyphs).

    The same settings and library versions give the same bytes. Categories are ranked by frequency. Rank 0 is the most
    frequent category. The category of rank r occurs in ``max(min_category_images,
    round(max_category_images·exp(-decay·r)))`` training images, once in each image.

    Attributes:
        num_categories: number of categories, from 1 to ``max_categories`` of the alphabet.
        num_train_images, num_val_images: number of training and validation images. With ``max_objects`` per image,
            they must have room for all objects.
        image_size: side length of the square images in pixels, from 64 to 8192. Objects scale with the image size.
        max_objects: maximum number of objects per image, from 1 to 25.
        seed: random seed, from 0 to 2^32 - 1.
        val_instances_per_category: number of validation objects of each category. Each is in a different image.
        max_category_images, min_category_images: number of training images of the most and least frequent category.
        decay: exponential decay of the number of training images per rank, >= 0. If None, use ``max(0,
            log(max_category_images / 2.2) / num_categories)``. If ``max_category_images`` is 600, this value makes
            about 28 % of the categories rare.
        object_size: minimum and maximum length of an object's longer side, as fractions of ``image_size``.
        max_neg_categories: maximum length of the list "neg_category_ids" of an image. In LVIS format, this list names
            categories that are absent from the image. If more categories are absent, the list is a random sample.
            Complete lists for 1203 categories and 100,000 images would need 600 MB.
        alphabet: set of characters and fonts:

            - "similar": 108 characters, many of which look alike, in bold and regular fonts.
            - "plain": 40 characters that are easy to distinguish, in bold fonts.
        background: appearance of the background:

            - "textured": color noise and lines.
            - "plain": one color.
    """

    num_categories: int = 108
    num_train_images: int = 1200
    num_val_images: int = 300
    image_size: int = 128
    max_objects: int = 16
    seed: int = 0
    val_instances_per_category: int = 25
    max_category_images: int = 600
    min_category_images: int = 3
    decay: float | None = None
    object_size: tuple[float, float] = (18 / 128, 36 / 128)
    max_neg_categories: int = 108
    alphabet: str = "similar"
    background: str = "textured"

    def __post_init__(self):
        if isinstance(self.object_size, list):  # JSON has no tuples
            object.__setattr__(self, "object_size", tuple(self.object_size))
        self._check_ranges()
        self._check_object_size()
        check_capacity("num_train_images", self.num_train_images, self.category_images(), self.max_objects)
        val_counts = np.full(self.num_categories, self.val_instances_per_category)
        check_capacity("num_val_images", self.num_val_images, val_counts, self.max_objects)

    def _check_ranges(self):
        _check_choice("alphabet", self.alphabet, tuple(ALPHABETS))
        _check_choice("background", self.background, BACKGROUNDS)
        _check_int("num_categories", self.num_categories, 1, ALPHABETS[self.alphabet].max_categories)
        _check_int("num_train_images", self.num_train_images, 1)
        _check_int("num_val_images", self.num_val_images, 1)
        _check_int("image_size", self.image_size, 64, 8192)
        _check_int("max_objects", self.max_objects, 1, 25)
        _check_int("seed", self.seed, 0, 2**32 - 1)
        _check_int("val_instances_per_category", self.val_instances_per_category, 1)
        _check_int("min_category_images", self.min_category_images, 1)
        _check_int("max_category_images", self.max_category_images, self.min_category_images)
        _check_int("max_neg_categories", self.max_neg_categories, 0)
        if self.decay is not None and not (_is_number(self.decay) and 0 <= self.decay < math.inf):
            raise ConfigError(f"decay: expected a number >= 0 or None, found {self.decay!r}")

    def _check_object_size(self):
        size = self.object_size
        limit = min(0.9, 1 / math.ceil(math.sqrt(self.max_objects)) / CELL_MARGIN)
        is_pair = isinstance(size, tuple) and len(size) == 2 and all(map(_is_number, size))
        if not (is_pair and 0.1 <= size[0] <= size[1] <= 0.9 and size[0] <= limit):
            raise ConfigError(
                "object_size: expected a tuple (smallest, largest) of numbers from 0.1 to 0.9, with smallest at most "
                f"largest and at most {limit:.3f}, found {size!r}. An image must have room for max_objects = "
                f"{self.max_objects} objects."
            )

    def category_images(self) -> np.ndarray:
        """Return the number of training images per category, from the most to the least frequent category.

        The array has the shape (num_categories,) and the type int64.
        """
        decay = self.decay
        if decay is None:
            decay = max(0.0, math.log(self.max_category_images / TAIL_IMAGES) / self.num_categories)
        images = np.rint(self.max_category_images * np.exp(-decay * np.arange(self.num_categories)))
        return np.maximum(images, self.min_category_images).astype(np.int64)


def plain_glyphs(**changes) -> GlyphConfig:
    """Return the settings of an easy synthetic dataset: 40 distinct characters, and at most 6 large objects per image.

    By default, 11 categories are rare, 16 categories are common, and 13 categories are frequent.

    Args:
        changes: fields of ``GlyphConfig`` that replace these settings.
    """
    plain: dict[str, Any] = {
        "alphabet": "plain",
        "num_categories": 40,
        "max_objects": 6,
        "object_size": (22 / 128, 42 / 128),
        "max_neg_categories": 100,
    }
    return GlyphConfig(**(plain | changes))


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_int(name: str, value, low: int, high: int | None = None) -> None:
    wrong_type = isinstance(value, bool) or not isinstance(value, int)
    if wrong_type or value < low or (high is not None and value > high):
        expected = f"from {low} to {high}" if high is not None else f">= {low}"
        raise ConfigError(f"{name}: expected an integer {expected}, found {value!r}")


def _check_choice(name: str, value, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, found {value!r}")


def check_capacity(name: str, num_images: int, category_images: np.ndarray, max_objects: int) -> None:
    """Raise ConfigError if the images of a split have no room for all objects.

    An image contains at most one object of each category.

    Args:
        name: name of the setting with the number of images, such as "num_val_images", for messages.
        num_images: number of images in the split.
        category_images: (C,) required number of images for each of the C categories.
        max_objects: maximum number of objects per image.
    """
    total = int(category_images.sum())
    needed = max(int(category_images.max()), -(-total // max_objects))
    if num_images < needed:
        raise ConfigError(
            f"{name}: expected at least {needed} images, found {num_images}. The {len(category_images)} categories "
            f"have {total} instances, and an image has room for max_objects = {max_objects} instances. The "
            f"{category_images.max()} instances of the most frequent category must be in different images."
        )
