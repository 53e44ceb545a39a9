"""Count the images and instances of each category in registered datasets."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from seesaw_d2.data.records.catalog import check_registered, class_names, load_dataset
from seesaw_d2.data.records.category_counts import CategoryStatistics
from seesaw_d2.data.records.records import object_columns
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.frequency_groups import frequency_groups
from seesaw_d2.utils.declared_keys import added_value
from seesaw_d2.utils.json_reading import fingerprint
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)

# Cache of the results of ``dataset_statistics``. A key contains the name of the dataset, the function that loads the
# dataset, and the modification time and size of the annotation file.
_cache: dict[tuple, "CategoryStatistics"] = {}


def dataset_statistics(name: str, dicts: Sequence[dict[str, Any]] | None = None) -> CategoryStatistics:
    """Count the images and instances of each category in a registered dataset.

    Later calls return the cached counts until the annotation file changes.

    Args:
        name: name of the dataset.
        dicts: dataset dicts of the whole dataset. If None, load the dicts.

    Raises:
        ConfigError: no dataset with this name is registered.
        DataError: the annotation file is missing or invalid.
    """
    check_registered(name)
    key = (name, DatasetCatalog[name], fingerprint(MetadataCatalog.get(name).get("json_file")))
    if key not in _cache:
        dicts = load_dataset(name) if dicts is None else dicts
        names = class_names(name)
        if names is None:
            largest = max((int(objects.category.max(initial=0)) for objects in object_columns(dicts)), default=0)
            names = list(map(str, range(largest + 1)))
        _cache[key] = CategoryStatistics.from_dataset_dicts(dicts, len(names), names)
    return _cache[key]


def training_statistics(cfg: CfgNode) -> CategoryStatistics:
    """Count the images and instances of each category in all datasets of DATASETS.TRAIN together.

    The counts include images that training omits, such as images without objects.

    Raises:
        ConfigError: DATASETS.TRAIN is empty, a dataset is not registered, or the datasets' categories differ.
        DataError: an annotation file is missing or invalid.
    """
    names = list(cfg.DATASETS.TRAIN)
    if not names:
        raise ConfigError("DATASETS.TRAIN: expected at least one dataset, found an empty list")
    for name in names:
        check_registered(name, "DATASETS.TRAIN")
    total, *others = [dataset_statistics(name) for name in names]
    for other in others:
        total = total + other
    return total


def training_frequency_groups(cfg: CfgNode, num_classes: int | None = None) -> np.ndarray | None:
    """Return the frequency group of each category in DATASETS.TRAIN (0: rare, 1: common, 2: frequent).

    Args:
        cfg: config with the datasets, and with the boundaries of the groups in DATASETS.FREQUENCY_THRESHOLDS.
        num_classes: number of categories of the model. If None, use MODEL.ROI_HEADS.NUM_CLASSES.

    Returns:
        the group of each category, (num_classes,), or None if DATASETS.TRAIN is empty, cannot be read or has another
        number of categories. In these cases, this function logs the reason instead of raising an error, because
        training with a custom data loader does not need DATASETS.TRAIN.
    """
    thresholds = added_value(cfg, "DATASETS.FREQUENCY_THRESHOLDS")
    num_classes = cfg.MODEL.ROI_HEADS.NUM_CLASSES if num_classes is None else num_classes
    try:
        image_count = training_statistics(cfg).image_count
        if len(image_count) != num_classes:
            raise ConfigError(
                f"DATASETS.TRAIN has {len(image_count)} categories, but the model has {num_classes} categories"
            )
    except SeesawError as error:
        warn_once(
            logger, f"The accuracies of rare, common and frequent categories will not be logged: {error}", logging.INFO
        )
        return None
    return frequency_groups(image_count, thresholds)
