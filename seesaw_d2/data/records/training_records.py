"""Load and check the records for training."""

import logging

import numpy as np
from detectron2.config import CfgNode
from detectron2.data.build import (
    filter_images_with_few_keypoints,
    filter_images_with_only_crowd_annotations,
    print_instances_class_histogram,
)

from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.data.records.catalog import check_registered, class_names, load_dataset
from seesaw_d2.data.records.concatenated_records import join
from seesaw_d2.data.records.proposals import load_proposals
from seesaw_d2.data.records.records import (
    NO_MASK,
    RUN_LENGTHS,
    ObjectColumns,
    Records,
    image_column,
    object_columns,
    take,
)
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)


def load_training_dicts(cfg: CfgNode) -> Records:
    """Return the concatenated dataset dicts of all data sets in DATASETS.TRAIN, checked for training.

    Raises:
        ConfigError: DATASETS.TRAIN is empty or contains an unknown data set, or INPUT.MASK_FORMAT does not match the
            masks.
        DataError: an annotation file is missing or invalid, images are missing, or no image with an object is left.
    """
    names = list(cfg.DATASETS.TRAIN)
    if not names:
        raise ConfigError("DATASETS.TRAIN: expected at least one data set, found none")
    parts = []
    for index, name in enumerate(names):
        check_registered(name, "DATASETS.TRAIN")
        part = load_dataset(name)
        check_trainable(cfg, name, part)
        if cfg.MODEL.LOAD_PROPOSALS:
            part = load_proposals(list(part), cfg.DATASETS.PROPOSAL_FILES_TRAIN[index])
        parts.append(part)
    records = join(parts)
    records = without_missing_images(records, names, skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    records = trained_records(cfg, records)
    check_any_left(records, names)
    classes = class_names(names[0])
    if classes:
        log_histogram(records, classes)
    return records


def trained_records(cfg: CfgNode, records: Records) -> Records:
    """Return the records that Detectron2's ``get_detection_dataset_dicts`` keeps."""
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = with_objects(records)
    if cfg.MODEL.KEYPOINT_ON and cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE > 0:
        minimum = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
        kept = filter_images_with_few_keypoints(records, minimum)
        if len(records) and not kept:
            raise DataError(
                f"MODEL.KEYPOINT_ON: expected images with at least {minimum} keypoints "
                "(MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE), found none in DATASETS.TRAIN"
            )
        records = kept
    return records


def with_objects(records: Records) -> Records:
    """Return the records of images with an object that is not a crowd, like Detectron2's filter of lists."""
    if isinstance(records, list):
        return filter_images_with_only_crowd_annotations(records)
    found = np.zeros(len(records), dtype=bool)
    for objects in object_columns(records):
        found[objects.without_crowds().image] = True
    kept = np.flatnonzero(found)
    logger.info(f"Removed {len(found) - len(kept)} images with no usable annotations. {len(kept)} images left.")
    return take(records, kept)


def log_histogram(records: Records, classes: list[str]) -> None:
    """Log Detectron2's table of instances. Sequences that are not lists are passed to it as one image per class."""
    if not isinstance(records, list):
        counts = np.zeros(0, np.int64)
        for objects in object_columns(records):
            batch = np.bincount(objects.without_crowds().category, minlength=len(counts))
            batch[: len(counts)] += counts
            counts = batch
        records = ({"annotations": [{"category_id": index}] * n} for index, n in enumerate(counts.tolist()) if n)
    print_instances_class_histogram(records, classes)


def check_any_left(records: Records, names: list[str]) -> None:
    """Raise DataError if no image is left for training."""
    if not records:
        raise DataError(
            f"no image of {', '.join(names)} has an object to train on; "
            "set DATALOADER.FILTER_EMPTY_ANNOTATIONS False to keep images without objects"
        )


def check_trainable(cfg: CfgNode, name: str, records: Records) -> None:
    """Check that a data set has the annotations that the training of this model needs.

    Raises:
        DataError: the data set has no annotations, or MODEL.MASK_ON is True and an object has no mask.
        ConfigError: an object's mask is run-length encoded and INPUT.MASK_FORMAT is "polygon".
    """
    if "annotations" not in records[0]:
        raise DataError(f"DATASETS.TRAIN: {name!r} has no annotations (a test set?); expected a training set")
    if not cfg.MODEL.MASK_ON:
        return
    maskless, encoded = _images_with_masks(records, NO_MASK, RUN_LENGTHS)
    if maskless:
        raise DataError(
            f"data set {name!r}: {len(maskless)} objects have no segmentation (image ids "
            f"{first_few(dict.fromkeys(maskless))}), which MODEL.MASK_ON True needs; set it False to train only boxes"
        )
    if encoded and cfg.INPUT.MASK_FORMAT != "bitmask":
        raise ConfigError(
            f'INPUT.MASK_FORMAT: expected "bitmask", as {len(encoded)} objects of {name!r} have run-length '
            f"masks (image ids {first_few(dict.fromkeys(encoded))}); found {cfg.INPUT.MASK_FORMAT!r}"
        )


def _images_with_masks(records: Records, *kinds: int) -> list[list]:
    """Return, for each kind of mask, the image ids of the objects with such a mask, except crowds."""
    found = [[np.zeros(0, np.int64)] for _ in kinds]
    for objects in map(ObjectColumns.without_crowds, object_columns(records)):
        for positions, kind in zip(found, kinds, strict=True):
            positions.append(objects.image[objects.mask == kind])
    ids = image_column(records, "image_id")
    return [ids[np.concatenate(positions)].tolist() for positions in found]
