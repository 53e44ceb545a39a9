"""Build the training loader and the test loader of detection datasets from a config."""

import logging
from collections.abc import Sequence

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, build_detection_test_loader, build_detection_train_loader
from detectron2.utils import comm
from torch.utils.data import Sampler

from seesaw_d2.compat import repeat_factor_options
from seesaw_d2.data.images.copy_paste import CopyPasteMapper
from seesaw_d2.data.images.image_files import without_missing_images
from seesaw_d2.data.images.mapper import BlankingMapper, CheckedMapper, Mapper, ReplacingMapper
from seesaw_d2.data.images.resizing import build_mapper
from seesaw_d2.data.records.catalog import check_registered, class_names, load_dataset
from seesaw_d2.data.records.proposals import load_proposals
from seesaw_d2.data.records.records import Records, image_column, take
from seesaw_d2.data.records.statistics import training_frequency_groups
from seesaw_d2.data.records.training_records import load_training_dicts
from seesaw_d2.data.sampling.analysis import analyze_sampling
from seesaw_d2.data.sampling.batch_composition import aspect_groups
from seesaw_d2.data.sampling.epoch_samplers import EpochStream
from seesaw_d2.data.sampling.rare_objects import configured_rare_objects
from seesaw_d2.data.sampling.repeat_factors import REPEATED, build_sampler
from seesaw_d2.data.sampling.train_loader import TrainLoader, digest_of, labels_digest
from seesaw_d2.utils.declared_keys import added_value
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)


def build_train_loader(
    cfg: CfgNode,
    *,
    mapper=None,
    sampler: Sampler | None = None,
    records: Records | None = None,
    aspect_ratio_grouping: bool | None = None,
    **options,
):
    """Build the training loader of DATASETS.TRAIN. Unlike Detectron2's loader, this loader can resume at any batch.

    SEED determines the image order and the augmentation. If SEED is -1, NumPy's global generator draws a random seed
    that all processes share. If DATALOADER.SKIP_BAD_IMAGES is True, missing images are skipped, and images that cannot
    be decoded are replaced by other images. If INPUT.COPY_PASTE.ENABLED is True, rare objects are pasted into images.

    Args:
        cfg: a config whose datasets are registered (``register_datasets(cfg)``).
        mapper: function that maps a dataset dict to model inputs. If None, use ``build_mapper(cfg, is_train=True)``.
        sampler: sampler of the images. If None, build the sampler that DATALOADER.SAMPLER_TRAIN selects.
        records: dataset dicts. If None, use ``load_training_dicts(cfg)``.
        aspect_ratio_grouping: if True, group images by aspect ratio. If None, use DATALOADER.ASPECT_RATIO_GROUPING.
        options: further arguments of PyTorch's ``DataLoader``.

    Returns:
        a ``TrainLoader``. Its batches are lists of model inputs. The processes share SOLVER.IMS_PER_BATCH images
        equally. If the sampler is no ``EpochStream``, Detectron2's loader, which cannot resume its image order.

    Raises:
        ConfigError, DataError: the config or annotations are invalid, image files are missing, or no image has an
            object. During iteration, DataError: an image cannot be decoded or does not have the annotated size.
    """
    dataset = load_training_dicts(cfg) if records is None else records
    mapper = build_mapper(cfg, is_train=True) if mapper is None else mapper
    if sampler is None:
        sampler = build_sampler(cfg, dataset, cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed())
        _log_sampling(cfg, dataset)
    grouping = cfg.DATALOADER.ASPECT_RATIO_GROUPING if aspect_ratio_grouping is None else aspect_ratio_grouping
    groups = aspect_groups(dataset) if grouping else None
    digests = {"digest": digest_of(dataset), "labels": labels_digest(dataset)}
    if isinstance(dataset, list):  # serialize once; the loader and mappers that read other images share the result
        dataset = DatasetFromList(dataset, copy=False)
    mapper = _training_mapper(cfg, mapper, dataset)
    if not isinstance(sampler, EpochStream):
        name = cfg.DATALOADER.SAMPLER_TRAIN if sampler is None else type(sampler).__name__
        logger.warning(f"Sampler {name} has no state to save. Resuming starts the image order from the beginning")
        if cfg.DATALOADER.PIN_MEMORY:
            logger.warning(f"DATALOADER.PIN_MEMORY has no effect in Detectron2's loader, which sampler {name} needs")
        return build_detection_train_loader(
            cfg, mapper=mapper, dataset=dataset, sampler=sampler, aspect_ratio_grouping=grouping, **options
        )
    return TrainLoader(
        dataset,
        mapper,
        sampler,
        batch_size=cfg.SOLVER.IMS_PER_BATCH,
        groups=groups,
        device=_prefetching_device(cfg),
        **digests,
        **{"num_workers": cfg.DATALOADER.NUM_WORKERS, **options},
    )


def _training_mapper(cfg: CfgNode, mapper: Mapper, records: Records) -> Mapper:
    """Wrap a mapper, so that it reports or replaces unreadable images and, if configured, pastes objects (Copy-Paste).

    Args:
        cfg: config with DATALOADER.SKIP_BAD_IMAGES and INPUT.COPY_PASTE.
        mapper: function that maps a dataset dict to model inputs.
        records: dataset dicts of the other images that can replace an image or provide objects.
    """
    skip = added_value(cfg, "DATALOADER.SKIP_BAD_IMAGES")
    checked = ReplacingMapper(mapper, records) if skip else CheckedMapper(mapper)
    if not cfg.INPUT.COPY_PASTE.ENABLED:
        return checked
    return CopyPasteMapper(checked, records, configured_rare_objects(cfg, records))


def _prefetching_device(cfg: CfgNode) -> torch.device | None:
    """Return the GPU to which the loader copies images in advance, or None if images are not copied in advance.

    Images are copied if DATALOADER.PIN_MEMORY is True and MODEL.DEVICE is a GPU.
    """
    if not cfg.DATALOADER.PIN_MEMORY:
        return None
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        warn_once(logger, f"DATALOADER.PIN_MEMORY has no effect without a GPU. MODEL.DEVICE is {cfg.MODEL.DEVICE}")
        return None
    device = torch.device(cfg.MODEL.DEVICE)
    return torch.device("cuda", torch.cuda.current_device()) if device.index is None else device


def _log_sampling(cfg: CfgNode, records: Records) -> None:
    """Log the numbers of images, categories and instances in the training data.

    For repeat factor sampling, also log the number of images and the shares of instances in an epoch.
    """
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


def build_test_loader(cfg: CfgNode, name: str, *, mapper=None, image_ids: Sequence[int] | None = None):
    """Build Detectron2's test loader of a dataset, with batches of one image. The processes share the images.

    If DATALOADER.SKIP_BAD_IMAGES is True, missing images are skipped, and images that cannot be decoded are replaced by
    black images. The evaluator counts the objects in skipped and replaced images as missed.

    Args:
        cfg: a config whose datasets are registered (``register_datasets(cfg)``).
        name: name of the dataset.
        mapper: function that maps a dataset dict to model inputs. If None, use ``build_mapper(cfg, is_train=False)``.
        image_ids: ids of the images to load, in this order. If None, load all images.

    Raises:
        DataError: an annotation file is missing or invalid, or image files are missing. During iteration, the loader
            raises this error for an image that cannot be decoded or does not have the annotated size.
    """
    skip = added_value(cfg, "DATALOADER.SKIP_BAD_IMAGES")
    check_registered(name, "DATASETS.TEST")
    records = load_dataset(name)
    if cfg.MODEL.LOAD_PROPOSALS:
        index = list(cfg.DATASETS.TEST).index(name)
        records = load_proposals(list(records), cfg.DATASETS.PROPOSAL_FILES_TEST[index])
    if image_ids is not None:
        positions = {key: index for index, key in enumerate(image_column(records, "image_id").tolist())}
        records = take(records, [positions[key] for key in image_ids])
    records = without_missing_images(records, [name], skip=skip)
    mapper = build_mapper(cfg, is_train=False) if mapper is None else mapper
    mapper = (BlankingMapper if skip else CheckedMapper)(mapper)
    return build_detection_test_loader(records, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS)
