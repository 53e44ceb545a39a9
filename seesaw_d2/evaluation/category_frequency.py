"""Determine the frequency group of each category in a registered dataset."""

import logging

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.data.records.catalog import category_ids, class_names, read_annotation_file
from seesaw_d2.data.records.statistics import training_frequency_groups, training_statistics
from seesaw_d2.errors import SeesawError
from seesaw_d2.evaluation.ground_truth_rules import file_frequency
from seesaw_d2.frequency_groups import GROUP_LETTERS, LVIS_THRESHOLDS, frequency_groups
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)


def frequency_letters(cfg: CfgNode, dataset_name: str | None, file: AnnotationFile) -> dict[int, str] | None:
    """Return the frequency group (rare, common or frequent) of each category, for computing APr, APc and APf.

    If DATASETS.FREQUENCY_THRESHOLDS has LVIS's values and all categories of the annotation file have the field
    ``frequency``, this field is the group. In LVIS's files, ``frequency`` depends on the whole training set of LVIS.
    Otherwise, the group depends on the number of images in DATASETS.TRAIN that contain the category.

    Args:
        cfg: a config with DATASETS.TRAIN and DATASETS.FREQUENCY_THRESHOLDS.
        dataset_name: name of the evaluated dataset. If None, the dataset is not registered, and the indices of its
            categories are in the order of the category ids.
        file: annotation file of the evaluated dataset.

    Returns:
        a dict from category id to "r" (rare), "c" (common) or "f" (frequent). None, with a warning in the log, if the
        group depends on DATASETS.TRAIN, but DATASETS.TRAIN is empty, cannot be read, or has other categories than the
        evaluated dataset.
    """
    thresholds = tuple(cfg.DATASETS.FREQUENCY_THRESHOLDS)
    own = file_frequency(file)
    if own is not None and thresholds == LVIS_THRESHOLDS:
        return own
    title = file.path if dataset_name is None else dataset_name
    try:
        statistics = training_statistics(cfg)
    except SeesawError as error:
        logger.warning(
            "APr, APc and APf of %s are NaN, because the frequency groups are unknown. Reason: %s", title, error
        )
        return None
    names = file.category_names if dataset_name is None else class_names(dataset_name)
    if list(statistics.names) != list(names):
        train = first_few(cfg.DATASETS.TRAIN)
        logger.warning(
            "APr, APc and APf of %s are NaN, because this dataset and DATASETS.TRAIN (%s) have different categories",
            *(title, train),
        )
        return None
    ids = file.category_ids if dataset_name is None else category_ids(dataset_name, file)
    groups = frequency_groups(statistics.image_count, thresholds).tolist()
    return {key: GROUP_LETTERS[group] for key, group in zip(ids, groups, strict=True)}


def letters_of_file(dataset_name: str, file: AnnotationFile) -> dict[int, str] | None:
    """Return the field ``frequency`` of each category id. If a category lacks it, log a warning and return None."""
    letters = file_frequency(file)
    if letters is None:
        logger.warning(
            "APr, APc and APf of %s are NaN, because not all categories of %s have the field frequency. To compute the "
            "groups from DATASETS.TRAIN, pass the config to LongTailEvaluator. Or pass the argument frequency",
            *(dataset_name, file.path),
        )
    return letters


def evaluated_groups(cfg: CfgNode, dataset_name: str) -> np.ndarray | None:
    """Return the frequency group of each of C classes of a dataset (0: rare, 1: common, 2: frequent), int (C,).

    The groups are those of ``frequency_letters``, so that accuracies and APr, APc and APf describe the same categories.
    For a dataset without an annotation file, the groups depend on DATASETS.TRAIN. Return None if they are unknown.
    """
    if MetadataCatalog.get(dataset_name).get("json_file") is None:
        return training_frequency_groups(cfg)
    file = read_annotation_file(dataset_name)
    letters = frequency_letters(cfg, dataset_name, file)
    if letters is None:
        return None
    return np.array([GROUP_LETTERS.index(letters[key]) for key in category_ids(dataset_name, file)])
