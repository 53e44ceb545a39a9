"""Load the dataset dicts for training, check them, and omit images that training does not use."""

import logging

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
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
from seesaw_d2.utils.declared_keys import added_value
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)


def load_training_dicts(cfg: CfgNode) -> Records:
    """Load and check all datasets in DATASETS.TRAIN, and return the concatenated dataset dicts for training.

    Images that training does not use, such as images without objects, are omitted.

    Raises:
        ConfigError: DATASETS.TRAIN is empty, a dataset is not registered, or INPUT.MASK_FORMAT does not match the
            masks.
        DataError: an annotation file is missing or invalid, image files are missing, or no image has an object.
    """
    skip, names = added_value(cfg, "DATALOADER.SKIP_BAD_IMAGES"), list(cfg.DATASETS.TRAIN)
    if not names:
        raise ConfigError("DATASETS.TRAIN: expected at least one dataset, found an empty list")
    parts = []
    for index, name in enumerate(names):
        check_registered(name, "DATASETS.TRAIN")
        part = load_dataset(name)
        check_trainable(cfg, name, part)
        if cfg.MODEL.LOAD_PROPOSALS:
            part = load_proposals(list(part), cfg.DATASETS.PROPOSAL_FILES_TRAIN[index])
        parts.append(part)
    records = join(parts)
    records = without_missing_images(records, names, skip=skip)
    records = trained_records(cfg, records)
    check_any_left(records, names)
    classes = class_names(names[0])
    if classes:
        log_histogram(records, classes)
    return records


def trained_records(cfg: CfgNode, records: Records) -> Records:
    """Return the dataset dicts that training uses, filtered like in Detectron2's ``get_detection_dataset_dicts``.

    If DATALOADER.FILTER_EMPTY_ANNOTATIONS is True, images without objects are omitted. If the model detects keypoints,
    images with fewer than MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE annotated keypoints are omitted.

    Raises:
        DataError: no image has enough keypoints.
    """
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        records = with_objects(records)
    if cfg.MODEL.KEYPOINT_ON and cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE > 0:
        minimum = cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE
        kept = filter_images_with_few_keypoints(records, minimum)
        if len(records) and not kept:
            raise DataError(
                f"MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE is {minimum}, but no image of DATASETS.TRAIN has at "
                f"least {minimum} annotated keypoints. Set MODEL.KEYPOINT_ON False to train without keypoints."
            )
        records = kept
    return records


def with_objects(records: Records) -> Records:
    """Return the dataset dicts of the images with at least one object that is not a crowd.

    For lists, this function calls Detectron2's ``filter_images_with_only_crowd_annotations``. For other sequences, it
    applies the same criterion without creating dataset dicts.
    """
    if isinstance(records, list):
        return filter_images_with_only_crowd_annotations(records)
    found = np.zeros(len(records), dtype=bool)
    for objects in object_columns(records):
        found[objects.without_crowds().image] = True
    kept = np.flatnonzero(found)
    logger.info(f"Removed {len(found) - len(kept)} images with no usable annotations. {len(kept)} images left.")
    return take(records, kept)


def log_histogram(records: Records, classes: list[str]) -> None:
    """Log a table with the number of instances of each category, as Detectron2 does before a training.

    The table comes from Detectron2's ``print_instances_class_histogram``.

    Args:
        records: dataset dicts.
        classes: category names in the order of class indices.
    """
    if not isinstance(records, list):
        # Do not create a dict for each image, which would be slow. Instead, count the instances of each category, and
        # create one dict per category with this number of instances. The logged histogram is the same.
        counts = np.zeros(0, np.int64)
        for objects in object_columns(records):
            batch = np.bincount(objects.without_crowds().category, minlength=len(counts))
            batch[: len(counts)] += counts
            counts = batch
        records = ({"annotations": [{"category_id": index}] * n} for index, n in enumerate(counts.tolist()) if n)
    print_instances_class_histogram(records, classes)


def check_any_left(records: Records, names: list[str]) -> None:
    """Raise DataError if no images are left for training.

    Args:
        records: dataset dicts after images without objects were omitted.
        names: names of the training sets, for the message.
    """
    if not records:
        raise DataError(
            f"DATASETS.TRAIN: expected images with objects, found only images without objects in {', '.join(names)}. "
            "Set DATALOADER.FILTER_EMPTY_ANNOTATIONS False to keep images without objects."
        )


def check_annotated(name: str, records: Records) -> None:
    """Raise DataError if the annotation file of a training set has no key "annotations", like LVIS's test sets."""
    if "annotations" not in records[0]:
        raise DataError(
            f'DATASETS.TRAIN: the annotation file of dataset {name!r} contains no "annotations". This dataset may be '
            "a test set. Choose a training set."
        )


def check_trainable(cfg: CfgNode, name: str, records: Records) -> None:
    """Check that a dataset has the annotations that training needs: annotations at all, and suitable masks.

    Args:
        cfg: config of the training.
        name: name of the dataset, for messages.
        records: dataset dicts of the dataset.

    Raises:
        DataError: the dataset has no annotations, or MODEL.MASK_ON is True and an object has no mask.
        ConfigError: MODEL.MASK_ON is True, INPUT.MASK_FORMAT is "polygon", and an object has a run-length mask. Or
            MODEL.KEYPOINT_ON is True, and the dataset is registered in DATASETS.REGISTER, which reads no keypoints.
    """
    check_annotated(name, records)
    if cfg.MODEL.KEYPOINT_ON and MetadataCatalog.get(name).get("dataset_format"):
        raise ConfigError(
            f"MODEL.KEYPOINT_ON is True, but dataset {name!r} is in DATASETS.REGISTER, which reads no keypoints. "
            "Register the annotation file with Detectron2's register_coco_instances, and set keypoint_names and "
            "keypoint_flip_map in its metadata. Or set MODEL.KEYPOINT_ON False to train without keypoints."
        )
    if not cfg.MODEL.MASK_ON:
        return
    maskless, encoded = _images_with_masks(records, NO_MASK, RUN_LENGTHS)
    if maskless:
        raise DataError(
            f"dataset {name!r}: MODEL.MASK_ON is True, but {len(maskless)} objects have no segmentation (image ids "
            f"{first_few(dict.fromkeys(maskless))}). Set MODEL.MASK_ON False to train only boxes."
        )
    if encoded and cfg.INPUT.MASK_FORMAT != "bitmask":
        raise ConfigError(
            f'INPUT.MASK_FORMAT: expected "bitmask", found {cfg.INPUT.MASK_FORMAT!r}. {len(encoded)} objects of data '
            f"set {name!r} have run-length masks, which need the format bitmask (image "
            f"ids {first_few(dict.fromkeys(encoded))})."
        )


def _images_with_masks(records: Records, *kinds: int) -> list[list]:
    """Return the image ids of the objects that have a certain type of mask, or no mask. Crowds are ignored.

    Args:
        records: dataset dicts.
        kinds: types of masks, ``NO_MASK``, ``POLYGONS`` or ``RUN_LENGTHS``.

    Returns:
        a list for each value of ``kinds``. The list contains the image id of each object with this type of mask.
    """
    found = [[np.zeros(0, np.int64)] for _ in kinds]
    for objects in map(ObjectColumns.without_crowds, object_columns(records)):
        for positions, kind in zip(found, kinds, strict=True):
            positions.append(objects.image[objects.mask == kind])
    ids = image_column(records, "image_id")
    return [ids[np.concatenate(positions)].tolist() for positions in found]
