"""Select the images on which a calibration parameter is chosen, and other images on which metrics are reported."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from seesaw_d2.data.records.catalog import check_registered, load_dataset
from seesaw_d2.data.records.records import image_column
from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.data.sampling.loaders import build_test_loader
from seesaw_d2.errors import ConfigError, SeesawError
from seesaw_d2.train.preflight.trained_and_tested import shared_images, trained_and_tested
from seesaw_d2.utils.json_reading import fingerprint
from seesaw_d2.utils.messages import first_few

logger = logging.getLogger(__name__)

# Number of images on which a calibration is chosen, unless the user sets another number.
DEFAULT_COUNT = 1000
_FEWEST_FOLDS = 3


@dataclass(frozen=True)
class ImageSet:
    """Images of a registered dataset.

    Attributes:
        dataset: name of the dataset.
        image_ids: ids of the images, in the order in which the images are loaded.
        seen: whether the model was trained on images of this dataset.
    """

    dataset: str
    image_ids: tuple[int, ...]
    seen: bool = False

    def inputs(self, cfg: CfgNode) -> Iterator[dict[str, Any]]:
        """Yield the model input of each image, a dict in Detectron2's format, in the order of ``image_ids``."""
        loaded = cfg.clone()
        loaded.defrost()
        if cfg.MODEL.LOAD_PROPOSALS and self.dataset in cfg.DATASETS.TRAIN:
            index = list(cfg.DATASETS.TRAIN).index(self.dataset)
            loaded.DATASETS.PROPOSAL_FILES_TEST = (cfg.DATASETS.PROPOSAL_FILES_TRAIN[index],)
            loaded.DATASETS.TEST = (self.dataset,)
        for batch in build_test_loader(loaded, self.dataset, image_ids=self.image_ids):
            yield from batch


def count_folds(cfg: CfgNode, seeds: int) -> int:
    """Return the number of parts (folds) into which the training images are split: one for each seed, but at least 3.

    Raises:
        ConfigError: DATASETS.TRAIN has fewer annotated images.
    """
    folds, images = max(seeds, _FEWEST_FOLDS), training_statistics(cfg).num_annotated_images
    if images < folds:
        raise ConfigError(
            f"--seeds: expected at least {folds} annotated images in DATASETS.TRAIN with {seeds} seeds, found {images}"
            ". Each seed holds out another part of them"
        )
    return folds


def whole_set(name: str) -> ImageSet:
    """Return an ``ImageSet`` with all images of the registered dataset ``name``."""
    return ImageSet(name, tuple(image_column(load_dataset(name), "image_id").tolist()))


def tested_set(cfg: CfgNode) -> ImageSet:
    """Return all images of the dataset in DATASETS.TEST. Log a warning if the model was trained on its images.

    Raises:
        ConfigError: DATASETS.TEST does not contain exactly one dataset.
    """
    if len(cfg.DATASETS.TEST) != 1:
        raise ConfigError(f"DATASETS.TEST: expected one dataset, found {list(cfg.DATASETS.TEST)}")
    tell_trained(cfg, cfg.DATASETS.TEST[0], "DATASETS.TEST")
    return whole_set(cfg.DATASETS.TEST[0])


def tell_trained(cfg: CfgNode, name: str, key: str) -> bool:
    """Log a warning if the dataset ``name`` contains training images, and return whether it does.

    If DATASETS.TRAIN cannot be read, only names and annotation files are compared, and the log tells the reason.

    Args:
        cfg: config with DATASETS.TRAIN.
        name: name of a registered dataset.
        key: key or option that names this dataset, for the warning.
    """
    try:
        found = trained_and_tested(cfg, names=[name], key=key)
    except SeesawError as error:
        found = trained_and_tested(cfg, images=False, names=[name], key=key)
        logger.warning("%s: the images of %s were not compared with those in DATASETS.TRAIN: %s", key, name, error)
    for warning in found:
        logger.warning(warning)
    return bool(found)


def sampled_set(cfg: CfgNode, name: str, count: int | None = None, seed: int = 0) -> ImageSet:
    """Draw at most ``count`` images of the dataset ``name`` at random, and return them in the dataset's order.

    If ``count`` is None, draw at most ``DEFAULT_COUNT`` images.

    ``ImageSet.seen`` is True if images of the dataset are also in DATASETS.TRAIN. If the dataset has another name,
    the log lists these images.
    """
    ids = np.array(whole_set(name).image_ids)
    count = DEFAULT_COUNT if count is None else count
    if count < len(ids):
        ids = ids[np.sort(np.random.default_rng(seed).permutation(len(ids))[:count])]
    seen = name in cfg.DATASETS.TRAIN or tell_trained(cfg, name, "--choose-on")
    return ImageSet(name, tuple(ids.tolist()), seen=seen)


def chosen_set(cfg: CfgNode, name: str | None) -> str:
    """Return the name of the dataset on which the parameter of a calibration is chosen.

    It is ``name``, the value of the option --choose-on. If ``name`` is None, it is the only dataset in DATASETS.TRAIN.

    Raises:
        ConfigError: the dataset is not registered, or DATASETS.TRAIN does not have exactly one dataset.
    """
    if name is not None:
        check_registered(name, "--choose-on")
        return name
    if len(cfg.DATASETS.TRAIN) != 1:
        raise ConfigError(
            f"DATASETS.TRAIN: expected one dataset, found {list(cfg.DATASETS.TRAIN)}. Set --choose-on to the "
            "registered dataset whose images choose the calibration's parameters"
        )
    return cfg.DATASETS.TRAIN[0]


def check_disjoint(chosen: str, reported: str) -> None:
    """Raise ConfigError if two datasets share an annotation file or an image file.

    Args:
        chosen: name of the dataset on which the parameter is chosen.
        reported: name of the test set. Parameters chosen on test images would make the test metrics too high.
    """
    common = shared_images(chosen, reported)
    if common:
        raise ConfigError(
            f"--choose-on: expected images that are not in DATASETS.TEST, found files that {chosen!r} and {reported!r} "
            f"share: {first_few(common)}. Parameters must not be chosen on test images. Choose other images, or use "
            "--folds for cross-validation"
        )


def folds(image_ids: Sequence[int], count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Split images at random into ``count`` disjoint folds, whose sizes differ by at most 1.

    Returns:
        the sorted image ids of each fold.

    Raises:
        ConfigError: ``count`` is less than 2 or more than the number of images.
    """
    if not 2 <= count <= len(image_ids):
        raise ConfigError(
            f"--folds: expected an integer from 2 to {len(image_ids)}, found {count}. The test set has "
            f"{len(image_ids)} images"
        )
    order = np.random.default_rng(seed).permutation(np.array(image_ids))
    return [tuple(sorted(part.tolist())) for part in np.array_split(order, count)]


def annotations_of(cfg: CfgNode, *names: str) -> dict[str, Any]:
    """Return a dict from each dataset in DATASETS to a fingerprint of its annotations.

    A fingerprint changes if the file changes: it is the modification time and the size of the annotation file, or a
    hash of the dataset of an image classifier. Stored results are reused only if the fingerprints are equal. The dict
    also contains the fingerprints of other files that the config names: MODEL.ROI_HEADS.CALIBRATION.COUNTS,
    CLS_LOSS.SEESAW.CLASS_COUNTS and DATASETS.PROPOSAL_FILES_*.

    Args:
        cfg: config with the datasets.
        names: names of further datasets to include.
    """
    register_datasets(cfg)
    found: dict[str, Any] = {}
    for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST, *names):
        metadata = vars(MetadataCatalog.get(name))
        found[name] = metadata["entry"].digest() if "entry" in metadata else fingerprint(metadata.get("json_file"))
    files = [cfg.MODEL.ROI_HEADS.CALIBRATION.COUNTS, cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS]
    files += [*cfg.DATASETS.PROPOSAL_FILES_TRAIN, *cfg.DATASETS.PROPOSAL_FILES_TEST]
    found |= {path: fingerprint(path) for path in files if path not in ("dataset", "online")}
    return {name: value for name, value in found.items() if value}
