"""Choose the objects of rare categories that Copy-Paste adds to training images."""

import logging

import numpy as np
from detectron2.config import CfgNode

from seesaw_d2.data.images.semantic_mapper import has_semantic_head
from seesaw_d2.data.records.records import NO_MASK, Records, images_of_categories, object_columns
from seesaw_d2.data.sampling.repeat_factors import category_repeat_factors
from seesaw_d2.errors import ConfigError

logger = logging.getLogger(__name__)


class RareObjects:
    """Sampler of the objects to paste. With them, an object of category c occurs r(c) times per epoch on average.

    The repeat factor of category c is r(c) = max(1, sqrt(t / f(c))). Here, f(c) is the fraction of images with the
    category, and t is ``threshold``. The original object occurs once, so it is pasted r(c) - 1 times per epoch on
    average. Crowds and objects without a mask are not pasted.

    Args:
        records: dataset dicts with "annotations".
        threshold: threshold t >= 0 of the repeat factors.

    Attributes:
        image: (M,) int64, index in ``records`` of the image of each of the M objects that can be pasted. These are the
            objects of categories with r(c) > 1.
        position: (M,) int64, index of each object in the "annotations" of its image.
        weight: (M,) float64, r(c) - 1 for the category c of each object.
        mean: mean number of objects to paste into an image.
        num_categories: number of categories with r(c) > 1.
        largest_factor: maximum of r(c) over all categories.
    """

    def __init__(self, records: Records, threshold: float):
        category, _ = images_of_categories(records, crowds=False)
        factors = category_repeat_factors(np.bincount(category), len(records), threshold)
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for objects in object_columns(records):
            first = np.searchsorted(objects.image, objects.image)  # index of the first object in the same image
            position = np.arange(len(first)) - first
            chosen = ~objects.crowd & (objects.mask != NO_MASK)
            chosen[chosen] = factors[objects.category[chosen]] > 1
            parts.append((objects.image[chosen], position[chosen], factors[objects.category[chosen]] - 1))
        self.image, self.position, self.weight = map(np.concatenate, zip(*parts, strict=True))
        self._cumulative = self.weight.cumsum()
        self.mean = self.weight.sum() / max(len(records), 1)
        self.num_categories, self.largest_factor = int((factors > 1).sum()), float(factors.max(initial=1))

    def draw(self) -> list[tuple[int, int]]:
        """Draw the objects to paste into one image, with random numbers of NumPy's global generator.

        Return a list with a pair (index of the object's dataset dict, index in its "annotations") for each object.
        """
        count = int(self.mean + np.random.random_sample())  # noqa: NPY002
        places = np.random.random_sample(count) * self._cumulative[-1:]  # noqa: NPY002
        chosen = np.searchsorted(self._cumulative, places, side="right")
        return list(zip(self.image[chosen].tolist(), self.position[chosen].tolist(), strict=True))


def configured_rare_objects(cfg: CfgNode, records: Records) -> RareObjects:
    """Build the sampler of objects for Copy-Paste from INPUT.COPY_PASTE, and log the mean number of pasted objects.

    Raises:
        ConfigError: INPUT.COPY_PASTE.THRESHOLD is so low that no object would be pasted.
    """
    threshold = cfg.INPUT.COPY_PASTE.THRESHOLD
    found = RareObjects(records, threshold)
    if not len(found.weight):
        raise ConfigError(
            f"INPUT.COPY_PASTE.THRESHOLD is {threshold:g}, but each category with masks occurs in at least this "
            "fraction of the images in DATASETS.TRAIN. Copy-Paste pastes only rarer categories. Increase the threshold."
        )
    logger.info(
        f"Copy-Paste pastes {found.mean:.2f} objects per image on average, chosen from {len(found.weight)} objects of "
        f"{found.num_categories} rare categories. Repeat factors are at most {found.largest_factor:.2f} (threshold "
        f"{threshold:g})"
    )
    return found


def validate_copy_paste(cfg: CfgNode) -> None:
    """Raise ConfigError if INPUT.COPY_PASTE contains an invalid value or is incompatible with another key."""
    node = cfg.INPUT.COPY_PASTE
    if not node.ENABLED:
        return
    if not 0 < node.THRESHOLD < float("inf"):
        raise ConfigError(f"INPUT.COPY_PASTE.THRESHOLD: expected a finite number > 0, found {node.THRESHOLD}")
    if not cfg.MODEL.MASK_ON:
        raise ConfigError(
            "MODEL.MASK_ON: expected True, found False. Copy-Paste (INPUT.COPY_PASTE) needs the masks of the objects "
            "that it pastes."
        )
    if cfg.INPUT.MASK_FORMAT != "bitmask":
        raise ConfigError(
            f'INPUT.MASK_FORMAT: expected "bitmask", found {cfg.INPUT.MASK_FORMAT!r}. Copy-Paste (INPUT.COPY_PASTE) '
            "needs bitmasks, because it cannot remove covered pixels from polygons."
        )
    for key in ("KEYPOINT_ON", "LOAD_PROPOSALS"):
        if cfg.MODEL[key]:
            raise ConfigError(
                f"MODEL.{key}: expected False, found True. Copy-Paste does not support this key. Set MODEL.{key} or "
                "INPUT.COPY_PASTE.ENABLED False."
            )
    if has_semantic_head(cfg):
        raise ConfigError(
            "INPUT.COPY_PASTE.ENABLED: expected False, found True. Copy-Paste does not support the semantic label maps "
            f"of MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE}."
        )
