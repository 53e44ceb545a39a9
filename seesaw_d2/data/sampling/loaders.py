"""Data loaders of detection data sets."""

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
from seesaw_d2.data.sampling.train_loader import TrainLoader, digest_of
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
    """Build the training loader of DATASETS.TRAIN, like Detectron2's but resumable at any batch.

    Args:
        cfg: SEED determines order and augmentation. With -1 a random seed, equal in all processes, is drawn from
            NumPy's global generator. With DATALOADER.SKIP_BAD_IMAGES, missing images are omitted and images that cannot
            be decoded are replaced. With INPUT.COPY_PASTE.ENABLED, rare objects are pasted into images.
        mapper: None: Detectron2's DatasetMapper.
        sampler: None: build the sampler described by DATALOADER.SAMPLER_TRAIN and REPEAT_ROUNDING. If it is not an
            ``EpochStream``, like the samplers that only Detectron2's main branch has, build Detectron2's loader.
        records: None: ``load_training_dicts(cfg)``.
        aspect_ratio_grouping: None: DATALOADER.ASPECT_RATIO_GROUPING.
        options: further options of PyTorch's ``DataLoader``.

    Returns:
        a ``TrainLoader``, an endless iterable of batches, which are lists of Detectron2's model inputs with
        SOLVER.IMS_PER_BATCH entries over all processes, or Detectron2's loader (see ``sampler``).

    Raises:
        DataError: ``load_training_dicts`` raises it, or grouping needs the width and height of an image that has none.
            During iteration: an image cannot be decoded or does not have the annotated size.
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
        # The loader and the replacements share one serialized copy.
        dataset = DatasetFromList(dataset, copy=False)
    mapper = _training_mapper(cfg, mapper, dataset)
    if not isinstance(sampler, EpochStream):
        name = cfg.DATALOADER.SAMPLER_TRAIN if sampler is None else type(sampler).__name__
        logger.warning(f"{name}: a resumed training starts the order of the images from the beginning")
        if cfg.DATALOADER.PIN_MEMORY:
            logger.warning(f"DATALOADER.PIN_MEMORY: no effect with {name}, because Detectron2's loader is used")
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


def _training_mapper(cfg: CfgNode, mapper: Mapper, records: Records) -> Mapper:
    """Return ``mapper`` with checks of the images, and with Copy-Paste if the config enables it."""
    checked = ReplacingMapper(mapper, records) if cfg.DATALOADER.SKIP_BAD_IMAGES else CheckedMapper(mapper)
    if not cfg.INPUT.COPY_PASTE.ENABLED:
        return checked
    return CopyPasteMapper(checked, records, configured_rare_objects(cfg, records))


def _prefetching_device(cfg: CfgNode) -> torch.device | None:
    """Return this process's GPU if DATALOADER.PIN_MEMORY is True, else None."""
    if not cfg.DATALOADER.PIN_MEMORY:
        return None
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        warn_once(logger, "DATALOADER.PIN_MEMORY: no effect without a GPU")
        return None
    device = torch.device(cfg.MODEL.DEVICE)
    return torch.device("cuda", torch.cuda.current_device()) if device.index is None else device


def _log_sampling(cfg: CfgNode, records: Records) -> None:
    """Log the class counts and, with repeat factors, their effect on the counts."""
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
    """Build Detectron2's test loader of one data set: every image once over all processes, one in a batch.

    With DATALOADER.SKIP_BAD_IMAGES, missing images are omitted and images that cannot be decoded are black. The
    evaluator still has their annotations, so that their objects count as missed.

    Args:
        image_ids: the images, in this order. None: all.

    Raises:
        DataError: as in ``build_train_loader``.
    """
    check_registered(name, "DATASETS.TEST")
    records = load_dataset(name)
    if cfg.MODEL.LOAD_PROPOSALS:
        index = list(cfg.DATASETS.TEST).index(name)
        records = load_proposals(list(records), cfg.DATASETS.PROPOSAL_FILES_TEST[index])
    if image_ids is not None:
        positions = {key: index for index, key in enumerate(image_column(records, "image_id").tolist())}
        records = take(records, [positions[key] for key in image_ids])
    records = without_missing_images(records, [name], skip=cfg.DATALOADER.SKIP_BAD_IMAGES)
    mapper = build_mapper(cfg, is_train=False) if mapper is None else mapper
    mapper = (BlankingMapper if cfg.DATALOADER.SKIP_BAD_IMAGES else CheckedMapper)(mapper)
    return build_detection_test_loader(records, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS)
