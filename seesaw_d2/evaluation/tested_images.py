"""Compare the images that a test loader returned with the images of the dataset."""

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from detectron2.data import DatasetCatalog

from seesaw_d2.data.records.catalog import load_dataset
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

EFFECT_ON_AP = "AP counts all objects in absent images as missed, and repeated detections as wrong"
EFFECT_ON_MEANS = "Absent images do not count, and repeated images count several times"


def warn_of_images(name: str, expected: Iterable[Hashable], tested: Sequence[Hashable], effect: str) -> None:
    """Log a warning unless the model ran exactly once on each image.

    Args:
        name: name of the dataset.
        expected: ids of the images of the dataset.
        tested: ids of the images on which the model ran.
        effect: the effect of absent and repeated images on the metrics.
    """
    expected, counts = set(expected), Counter(tested)
    found = {
        "absent": sorted(expected.difference(counts), key=_order),
        "repeated": sorted((key for key, count in counts.items() if count > 1), key=_order),
        "unknown": sorted(counts.keys() - expected, key=_order),
    }
    if any(found.values()):
        listed = "; ".join(
            f"{len(ids)} {kind} images with the ids {first_few(ids)}" for kind, ids in found.items() if ids
        )
        logger.warning(
            "%s: expected each of the %d images once from the test loader, found %d images: %s. %s",
            *(name, len(expected), len(tested), listed, effect),
        )


def warn_of_registered_images(name: str, key: str, tested: Sequence[Hashable | None], effect: str) -> None:
    """Log a warning unless the model ran exactly once on each image of a registered dataset.

    Nothing is compared if the dataset is not registered in Detectron2's DatasetCatalog, or if images have no id.

    Args:
        name: name of the dataset.
        key: key of the dataset dicts that identifies an image, such as "image_id".
        tested: value of ``key`` of each image on which the model ran. None if an image lacks it.
        effect: the effect of absent and repeated images on the metrics.
    """
    if name not in DatasetCatalog or None in tested:
        return
    expected = [record.get(key) for record in load_dataset(name)]
    if None not in expected:
        warn_of_images(name, expected, tested, effect)


def _order(image_id: Hashable) -> tuple[bool, Hashable]:
    """Return a sort key that puts numbers in numeric order before texts."""
    return (False, image_id) if isinstance(image_id, (int, float)) else (True, str(image_id))
