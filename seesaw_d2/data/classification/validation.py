"""Check the datasets of image classification before a training or evaluation computes or writes anything."""

import logging

from detectron2.config import CfgNode

from seesaw_d2.data.classification.mapper import check_input_config
from seesaw_d2.data.images.headers import check_headers
from seesaw_d2.data.records.records import Records
from seesaw_d2.data.records.validation import check_categories, used_datasets, validate_images
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)


def validate_labelled_images(cfg: CfgNode, *, training: bool = True) -> None:
    """Check the files, images, labels and classes of all datasets that a training or evaluation uses.

    Classes without training images cause a warning instead of an error, because they count as few-shot classes.

    Args:
        cfg: a config whose datasets are registered (``register_datasets(cfg)``).
        training: True before a training, to check DATASETS.TRAIN and DATASETS.TEST. False before an evaluation, to
            check only DATASETS.TEST.

    Raises:
        ConfigError: a list of datasets is empty, a name is unknown or belongs to a detection dataset, or the
            datasets and the model (MODEL.CLASSIFIER.NUM_CLASSES) have different classes.
        DataError: a file is missing or invalid, a label is out of range, a dataset is empty, or images are missing.
    """
    check_input_config(cfg)
    used = used_datasets(cfg, training=training, classification=True)
    for name in dict.fromkeys(name for _, name in used):
        statistics = validate_images(cfg, name, check=_check_headers)
        if ("DATASETS.TRAIN", name) in used:
            empty = [c for c, count in zip(statistics.names, statistics.image_count, strict=True) if not count]
            if empty:
                warn_once(
                    logger,
                    f"dataset {name!r}: {len(empty)} classes have no training image: {first_few(empty)}. The model "
                    "cannot learn these classes.",
                )
    check_categories(cfg, used, "MODEL.CLASSIFIER.NUM_CLASSES")


def _check_headers(cfg: CfgNode, name: str, records: Records) -> None:
    # Refuse images with more than 8 bits per channel before the training starts. Otherwise ClassificationMapper would
    # raise an error in the middle of the training.
    check_headers(records, name, skip=cfg.DATALOADER.SKIP_BAD_IMAGES, deep="refuse", twice="accept")
