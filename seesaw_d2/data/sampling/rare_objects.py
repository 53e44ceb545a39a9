"""Select the objects of rare categories that Copy-Paste adds to training images."""

import logging

import numpy as np
from detectron2.config import CfgNode

from seesaw_d2.data.images.semantic_mapper import has_semantic_head
from seesaw_d2.data.records.records import NO_MASK, Records, images_of_categories, object_columns
from seesaw_d2.data.sampling.repeat_factors import category_repeat_factors
from seesaw_d2.errors import ConfigError

logger = logging.getLogger(__name__)


class RareObjects:
    """Sampler of objects. Each object of category c occurs r(c) times per epoch on average, including the original.

    r(c) = max(1, sqrt(t / f(c))) is the repeat factor of the category (``category_repeat_factors``). An object with a
    mask has the weight r(c) - 1, the expected number of its copies in an epoch of I images.

    Args:
        records: I Detectron2 dataset dicts with "annotations".
        threshold: t >= 0.

    Attributes:
        image, position: (M,) int64, index of the record and index in its annotations, for objects with a weight above
            0.
        weight: (M,) float64.
        mean: expected number of pasted objects per image.
    """

    def __init__(self, records: Records, threshold: float):
        category, _ = images_of_categories(records, crowds=False)
        factors = category_repeat_factors(np.bincount(category), len(records), threshold)
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for objects in object_columns(records):
            first = np.searchsorted(objects.image, objects.image)  # the first object of the same image
            position = np.arange(len(first)) - first
            chosen = ~objects.crowd & (objects.mask != NO_MASK)
            chosen[chosen] = factors[objects.category[chosen]] > 1
            parts.append((objects.image[chosen], position[chosen], factors[objects.category[chosen]] - 1))
        self.image, self.position, self.weight = map(np.concatenate, zip(*parts, strict=True))
        self._cumulative = self.weight.cumsum()
        self.mean = self.weight.sum() / max(len(records), 1)
        self.num_categories, self.largest_factor = int((factors > 1).sum()), float(factors.max(initial=1))

    def draw(self) -> list[tuple[int, int]]:
        """Draw the objects for one image with NumPy's global generator: (record, index in its annotations) of each."""
        count = int(self.mean + np.random.random_sample())  # noqa: NPY002
        places = np.random.random_sample(count) * self._cumulative[-1:]  # noqa: NPY002
        chosen = np.searchsorted(self._cumulative, places, side="right")
        return list(zip(self.image[chosen].tolist(), self.position[chosen].tolist(), strict=True))


def configured_rare_objects(cfg: CfgNode, records: Records) -> RareObjects:
    """Return the objects that INPUT.COPY_PASTE adds, and log their number.

    Raises:
        ConfigError: no category with objects is below the threshold, so that no object would be pasted.
    """
    threshold = cfg.INPUT.COPY_PASTE.THRESHOLD
    found = RareObjects(records, threshold)
    if not len(found.weight):
        raise ConfigError(
            f"INPUT.COPY_PASTE.THRESHOLD: expected a number above the lowest share of images with a category of "
            f"DATASETS.TRAIN, found {threshold:g}: nothing would be pasted"
        )
    logger.info(
        f"Copy-Paste: {len(found.weight)} objects of {found.num_categories} categories with repeat factors up to "
        f"{found.largest_factor:.2f} (threshold {threshold:g}); {found.mean:.2f} pasted objects an image"
    )
    return found


def validate_copy_paste(cfg: CfgNode) -> None:
    """Raise ConfigError if INPUT.COPY_PASTE has an invalid value or is incompatible with another key."""
    node = cfg.INPUT.COPY_PASTE
    if not node.ENABLED:
        return
    if not 0 < node.THRESHOLD < float("inf"):
        raise ConfigError(f"INPUT.COPY_PASTE.THRESHOLD: expected a number > 0, found {node.THRESHOLD}")
    if not cfg.MODEL.MASK_ON:
        raise ConfigError("MODEL.MASK_ON: expected True with INPUT.COPY_PASTE.ENABLED, which pastes masks; found False")
    if cfg.INPUT.MASK_FORMAT != "bitmask":
        raise ConfigError(
            f'INPUT.MASK_FORMAT: expected "bitmask" with INPUT.COPY_PASTE.ENABLED, as covered parts are cut out of '
            f"masks; found {cfg.INPUT.MASK_FORMAT!r}"
        )
    for key in ("KEYPOINT_ON", "LOAD_PROPOSALS"):
        if cfg.MODEL[key]:
            raise ConfigError(f"MODEL.{key}: expected False with INPUT.COPY_PASTE.ENABLED, found True")
    if has_semantic_head(cfg):
        raise ConfigError(
            f"INPUT.COPY_PASTE.ENABLED: expected False with MODEL.META_ARCHITECTURE {cfg.MODEL.META_ARCHITECTURE}, "
            "whose label maps do not change; found True"
        )
