"""Build the data loaders for training and evaluation on image classification datasets."""

import itertools
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MapDataset
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import InferenceSampler

from seesaw_d2.data.classification.mapper import BlankingClassificationMapper, ClassificationMapper
from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.data.images.mapper import CheckedMapper
from seesaw_d2.data.records.catalog import check_registered, load_dataset
from seesaw_d2.data.sampling.loaders import build_train_loader

_TEST_BATCH = 64


def build_classification_train_loader(cfg: CfgNode):
    """Build the training loader of DATASETS.TRAIN, an infinite iterable of batches.

    A batch is a list of dicts with the keys "image", "label" and "image_id" (see ``ClassificationMapper``). In
    distributed training, each process loads an equal share of the SOLVER.IMS_PER_BATCH images of a batch.
    DATALOADER.SAMPLER_TRAIN, DATALOADER.NUM_WORKERS and DATALOADER.SKIP_BAD_IMAGES have the same meaning as in
    detection.

    Raises:
        DataError: a file of the dataset is missing or invalid. During iteration, the loader raises this error for an
            image that cannot be decoded.
    """
    records = load_labelled_records(cfg)
    # Disable aspect ratio grouping. It is not necessary, because the mapper scales all images to the same square size.
    mapper = ClassificationMapper(cfg, is_train=True)
    return build_train_loader(cfg, mapper=mapper, records=records, aspect_ratio_grouping=False)


def build_classification_test_loader(cfg: CfgNode, name: str):
    """Build the loader for the evaluation of a dataset, which yields batches of 64 images in a fixed order.

    In a distributed evaluation, each process loads a part of the images. If DATALOADER.SKIP_BAD_IMAGES is True, missing
    images are skipped, and images that cannot be decoded are replaced by black images.

    Args:
        cfg: the config.
        name: name of the registered dataset.

    Raises:
        ConfigError: no dataset with this name is registered.
        DataError: a file of the dataset is missing or invalid. During iteration, the loader raises this error for an
            image that cannot be decoded, unless DATALOADER.SKIP_BAD_IMAGES is True.
    """
    check_registered(name, "DATASETS.TEST")
    records = without_missing_images(load_dataset(name), [name], skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    mapper = ClassificationMapper(cfg, is_train=False)
    mapper = (BlankingClassificationMapper if cfg.DATALOADER.SKIP_BAD_IMAGES else CheckedMapper)(mapper)
    return torch.utils.data.DataLoader(
        MapDataset(DatasetFromList(records, copy=False), mapper),
        batch_size=_TEST_BATCH,
        sampler=InferenceSampler(len(records)),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
    )


def load_labelled_records(cfg: CfgNode) -> list[dict[str, Any]]:
    """Return the dataset dicts of all classification datasets in DATASETS.TRAIN as one list.

    If DATALOADER.SKIP_BAD_IMAGES is True, the list does not contain images whose file is missing.

    Raises:
        DataError: a file of a dataset is missing or invalid.
    """
    names = list(cfg.DATASETS.TRAIN)
    records = list(itertools.chain.from_iterable(load_dataset(name) for name in names))
    return without_missing_images(records, names, skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
