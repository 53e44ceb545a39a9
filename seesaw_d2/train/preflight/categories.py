"""Find the class names of a config's datasets, and compare their order with the order in recorded class counts."""

import logging
import os

from detectron2.config import CfgNode

from seesaw_d2.data.records.catalog import categories_of
from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.data.records.semantic import semantic_classes
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.losses.recorded_counts import read_recorded_counts
from seesaw_d2.modeling.calibration.statistics import recorded_categories
from seesaw_d2.train.tasks.base import task_name
from seesaw_d2.utils.category_names import Categories, check_order
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)


def used_categories(cfg: CfgNode, key: str) -> Categories | None:
    """Return the class names of DATASETS.TRAIN or DATASETS.TEST, or None if they are unknown.

    Args:
        cfg: a config checked by ``validate_datasets``, so that all datasets have the same class names.
        key: "TRAIN" or "TEST".
    """
    for name in cfg.DATASETS[key]:
        try:
            found = _names(cfg, name, f"DATASETS.{key}")
        except SeesawError as error:  # continue, because a custom loader may not need the annotation file
            warn_once(logger, f"DATASETS.{key}: the category names of {name!r} are unknown and not checked: {error}")
            continue
        if found is not None:
            return found
    return None


def _names(cfg: CfgNode, name: str, key: str) -> Categories | None:
    if task_name(cfg) != "segmentation":
        return categories_of(name, key)
    classes = semantic_classes(name)
    return Categories(classes.names, f"dataset {name!r} ({key})") if classes else None


def categories_at_hand(cfg: CfgNode, count: int) -> tuple[Categories | None, str]:
    """Register the datasets of a config, and return the class names of the first dataset with ``count`` names.

    The function searches DATASETS.TEST before DATASETS.TRAIN.

    Args:
        cfg: a config, not frozen.
        count: number of class names that the dataset must have.

    Returns:
        (class names, "") or, if no dataset has ``count`` names, (None, reason as text).

    Raises:
        ConfigError: two datasets have the same class names in a different order.
    """
    reason = f"no dataset in DATASETS.TEST and DATASETS.TRAIN has {count} category names"
    try:
        register_datasets(cfg)
    except SeesawError as error:
        reason = str(error)
    found = []
    for key in ("TEST", "TRAIN"):
        for name in cfg.DATASETS[key]:
            try:
                each = categories_of(name, f"DATASETS.{key}")
            except SeesawError as error:  # for example, the annotation file is not on this machine
                reason = str(error)
                continue
            if each is not None and len(each.names) == count:
                found.append(each)
    for other in found[1:]:
        if warning := check_order(found[0], other):
            warn_once(logger, warning)
    return (found[0], "") if found else (None, reason)


def check_recorded_counts(cfg: CfgNode) -> None:
    """Raise ConfigError if the file of class counts for Seesaw Loss is missing or has its categories in another order.

    MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS is the path of the file. With the values "online" and "dataset", no
    file is read, and the function checks nothing. Only a training needs the file, so a model can be built without it.
    """
    key = "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS"
    source = cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS
    if source in ("online", "dataset"):
        return
    if not os.path.isfile(source):
        raise ConfigError(f'{key}: expected "online", "dataset" or the path of an existing file, found {source!r}')
    recorded, trained = read_recorded_counts(source).categories, used_categories(cfg, "TRAIN")
    if recorded is not None and trained is not None and (warning := check_order(recorded, trained)):
        warn_once(logger, f"{key}: {warning}")


def check_calibration_counts(cfg: CfgNode, categories: Categories | None) -> None:
    """Raise ConfigError if the file MODEL.ROI_HEADS.CALIBRATION.COUNTS has its categories in another order.

    Args:
        cfg: the config.
        categories: class names of the model in the correct order, that of its logits. None if unknown.
    """
    node = cfg.MODEL.ROI_HEADS.CALIBRATION
    if not node.NAME or node.COUNTS == "dataset" or categories is None:
        return
    recorded = recorded_categories(node.COUNTS)
    if recorded is not None and (warning := check_order(recorded, categories)):
        warn_once(logger, f"MODEL.ROI_HEADS.CALIBRATION.COUNTS: {warning}")
