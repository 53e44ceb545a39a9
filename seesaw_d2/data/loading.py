"""Data loaders around checked data."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetFromList,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.data.build import (
    filter_images_with_few_keypoints,
    filter_images_with_only_crowd_annotations,
    print_instances_class_histogram,
)
from detectron2.utils import comm
from torch.utils.data import Sampler

from seesaw_d2.compat import repeat_factor_options
from seesaw_d2.data.analysis import analyze_sampling
from seesaw_d2.data.catalog import check_registered, class_names, load_dataset
from seesaw_d2.data.files import first_few, warn_once
from seesaw_d2.data.image_files import missing_files, missing_folders
from seesaw_d2.data.mapper import BlankingMapper, CheckedMapper, ReplacingMapper
from seesaw_d2.data.outlines import join, kept, outline, take
from seesaw_d2.data.proposals import load_proposals
from seesaw_d2.data.resizing import build_mapper
from seesaw_d2.data.sampling import REPEATED, build_sampler
from seesaw_d2.data.statistics import training_frequency_groups
from seesaw_d2.data.streams import EpochStream
from seesaw_d2.data.train_loader import TrainLoader, digest_of
from seesaw_d2.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

Records = Sequence[dict[str, Any]]


def build_train_loader(
    cfg: CfgNode,
    *,
    mapper=None,
    sampler: Sampler | None = None,
    records: Records | None = None,
    aspect_ratio_grouping: bool | None = None,
    **options,
):
    """The training loader of DATASETS.TRAIN: what Detectron2's gives, in an order that can be entered anywhere.

    Args:
        cfg: DATALOADER.SKIP_BAD_IMAGES says what becomes of images that are missing or cannot be decoded. SEED decides
            order and augmentation; with -1 a seed is drawn, the same in every process, from numpy's global generator.
        mapper: in place of Detectron2's DatasetMapper.
        sampler: in place of the one that DATALOADER.SAMPLER_TRAIN and REPEAT_ROUNDING describe. One that is no
            ``EpochStream``, and those that Detectron2's main branch alone has, go to Detectron2's own loader.
        records: in place of ``load_training_dicts(cfg)``, where the caller has them already.
        aspect_ratio_grouping: in place of DATALOADER.ASPECT_RATIO_GROUPING.
        options: further ones of PyTorch's ``DataLoader``.

    Returns:
        A ``TrainLoader``: an endless iterable of batches, lists of Detectron2's model inputs, SOLVER.IMS_PER_BATCH
        over all ranks. (Detectron2's own loader in the cases named above.)

    Raises:
        DataError: see ``load_training_dicts``; an image has no width or height to group it by; while iterating, an
            image cannot be decoded or has another size than annotated.
    """
    dataset = load_training_dicts(cfg) if records is None else records
    mapper = build_mapper(cfg, is_train=True) if mapper is None else mapper
    if sampler is None:
        sampler = build_sampler(cfg, dataset, cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed())
        _log_sampling(cfg, dataset)
    grouping = cfg.DATALOADER.ASPECT_RATIO_GROUPING if aspect_ratio_grouping is None else aspect_ratio_grouping
    groups = aspect_groups(dataset) if grouping else None
    digest = digest_of(dataset)
    if isinstance(dataset, list):
        # One serialized copy for the loader and for the replacements.
        dataset = DatasetFromList(dataset, copy=False)
    mapper = ReplacingMapper(mapper, dataset) if cfg.DATALOADER.SKIP_BAD_IMAGES else CheckedMapper(mapper)
    if not isinstance(sampler, EpochStream):
        name = cfg.DATALOADER.SAMPLER_TRAIN if sampler is None else type(sampler).__name__
        logger.warning(f"{name}: the order of the images starts anew in a resumed training")
        return build_detection_train_loader(
            cfg, mapper=mapper, dataset=dataset, sampler=sampler, aspect_ratio_grouping=grouping, **options
        )
    return TrainLoader(
        dataset,
        mapper,
        sampler,
        batch_size=cfg.SOLVER.IMS_PER_BATCH,
        groups=groups,
        digest=digest,
        device=_prefetching_device(cfg),
        **{"num_workers": cfg.DATALOADER.NUM_WORKERS, **options},
    )


def _prefetching_device(cfg: CfgNode) -> torch.device | None:
    """This process's GPU if DATALOADER.PIN_MEMORY wants images there in advance."""
    if not cfg.DATALOADER.PIN_MEMORY:
        return None
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        warn_once(logger, "DATALOADER.PIN_MEMORY: there is no GPU to copy images to, so nothing changes")
        return None
    return torch.device("cuda", torch.cuda.current_device())


def aspect_groups(records: Records) -> np.ndarray:
    """Wide or not, as Detectron2's aspect ratio grouping asks, from what the annotation file says."""
    try:
        return np.array([record["width"] > record["height"] for record in outline(records)], dtype=np.int64)
    except KeyError as error:
        raise DataError(
            f"a training image has no {error}, which DATALOADER.ASPECT_RATIO_GROUPING True needs of every image"
        ) from None


def _log_sampling(cfg: CfgNode, records: Records) -> None:
    """Log the class counts and, with repeat factors, what they do to them."""
    names = class_names(cfg.DATASETS.TRAIN[0]) if cfg.DATASETS.TRAIN else None
    if names is None or not comm.is_main_process():
        return
    repeated = cfg.DATALOADER.SAMPLER_TRAIN == REPEATED
    analysis = analyze_sampling(
        records,
        len(names),
        repeat_threshold=cfg.DATALOADER.REPEAT_THRESHOLD if repeated else None,
        groups=training_frequency_groups(cfg, len(names)),
        **repeat_factor_options(cfg),
    )
    samplings = ("uniform", cfg.DATALOADER.REPEAT_ROUNDING) if repeated else ("uniform",)
    logger.info(f"Training data: {analysis.summary(*samplings)}")


def build_test_loader(cfg: CfgNode, name: str, *, mapper=None):
    """Detectron2's test loader of one data set: every image once over all ranks, one in a batch.

    With DATALOADER.SKIP_BAD_IMAGES, missing images are left out and undecodable ones are blank: the evaluator
    has their annotations, so that their objects count as missed.

    Raises:
        DataError: as in ``build_train_loader``.
    """
    check_registered(name, "DATASETS.TEST")
    records = load_dataset(name)
    if cfg.MODEL.LOAD_PROPOSALS:
        index = list(cfg.DATASETS.TEST).index(name)
        records = load_proposals(list(records), cfg.DATASETS.PROPOSAL_FILES_TEST[index])
    records = without_missing_images(records, [name], skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    mapper = build_mapper(cfg, is_train=False) if mapper is None else mapper
    mapper = (BlankingMapper if cfg.DATALOADER.SKIP_BAD_IMAGES else CheckedMapper)(mapper)
    return build_detection_test_loader(records, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS)


def load_training_dicts(cfg: CfgNode) -> Records:
    """The dataset dicts of all of DATASETS.TRAIN together, ready for training.

    Raises:
        ConfigError: DATASETS.TRAIN is empty or names an unknown data set; INPUT.MASK_FORMAT does not fit.
        DataError: an annotation file is missing or wrong, images are missing, or nothing is left to train on.
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
        print_instances_class_histogram(outline(records), classes)
    return records


def trained_records(cfg: CfgNode, records: Records) -> Records:
    """The records that Detectron2's ``get_detection_dataset_dicts`` keeps."""
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        all_records = outline(records)
        records = kept(records, filter_images_with_only_crowd_annotations(all_records), all_records)
    if cfg.MODEL.KEYPOINT_ON and cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE > 0:
        records = filter_images_with_few_keypoints(records, cfg.MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE)
    return records


def check_any_left(records: Records, names: list[str]) -> None:
    """Raise a DataError where nothing is left to train on."""
    if not records:
        raise DataError(
            f"no image of {', '.join(names)} has an object to train on; "
            "DATALOADER.FILTER_EMPTY_ANNOTATIONS False would keep images without"
        )


def check_trainable(cfg: CfgNode, name: str, records: Records) -> None:
    """Whether a data set has what this model is trained on.

    Raises:
        DataError: it has no annotations, or with MODEL.MASK_ON an object has no mask.
        ConfigError: an object's mask is run-length encoded and INPUT.MASK_FORMAT is "polygon".
    """
    if "annotations" not in records[0]:
        raise DataError(f"DATASETS.TRAIN: {name!r} has no annotations (a test set?); expected a training set")
    if not cfg.MODEL.MASK_ON:
        return
    maskless, encoded = [], []
    for record in outline(records):
        for item in record["annotations"]:
            if not item.get("iscrowd", 0):
                segmentation = item.get("segmentation")
                if segmentation is None:
                    maskless.append(record["image_id"])
                elif isinstance(segmentation, dict):
                    encoded.append(record["image_id"])
    if maskless:
        raise DataError(
            f"data set {name!r}: {len(maskless)} objects have no segmentation (image ids "
            f"{first_few(dict.fromkeys(maskless))}), which MODEL.MASK_ON True needs; False trains boxes only"
        )
    if encoded and cfg.INPUT.MASK_FORMAT != "bitmask":
        raise ConfigError(
            f'INPUT.MASK_FORMAT: expected "bitmask", as {len(encoded)} objects of {name!r} have run-length '
            f"masks (image ids {first_few(dict.fromkeys(encoded))}); found {cfg.INPUT.MASK_FORMAT!r}"
        )


def without_missing_images(records: Records, names: list[str], *, skip: bool) -> Records:
    """The records whose image file exists.

    Raises:
        DataError: an image file is missing and ``skip`` is False, or all of them are.
    """
    missing = missing_files(records)
    if not missing:
        return records
    count = f"{len(missing)} of {len(records)} image files of {', '.join(names)}"
    folders = [f"{folder} (no such folder, {number} images)" for folder, number in missing_folders(missing).items()]
    found = f"{count} are missing: {first_few(folders or missing)}"
    if not skip:
        raise DataError(f"{found}. DATALOADER.SKIP_BAD_IMAGES True leaves them out")
    if len(missing) == len(records):
        raise DataError(f"{found}. Nothing is left")
    warn_once(logger, f"{found}. They are left out (DATALOADER.SKIP_BAD_IMAGES)")
    gone = set(missing)
    there = [index for index, record in enumerate(outline(records)) if record["file_name"] not in gone]
    return take(records, there)
