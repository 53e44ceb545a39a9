"""Select the images for the choice of a parameter, and the images for the report."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from seesaw_d2.data.records.catalog import check_registered, load_dataset
from seesaw_d2.data.records.records import file_names, image_column
from seesaw_d2.data.sampling.loaders import build_test_loader
from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.messages import first_few


@dataclass(frozen=True)
class ImageSet:
    """Images of a registered data set.

    Attributes:
        dataset: name of the data set.
        image_ids: ids of the images in the order in which they are read.
        seen: whether the model was trained on them.
    """

    dataset: str
    image_ids: tuple[int, ...]
    seen: bool = False

    def inputs(self, cfg: CfgNode) -> Iterator[dict[str, Any]]:
        """Yield Detectron2's model input of each image."""
        loaded = cfg.clone()
        loaded.defrost()
        if cfg.MODEL.LOAD_PROPOSALS and self.dataset in cfg.DATASETS.TRAIN:
            index = list(cfg.DATASETS.TRAIN).index(self.dataset)
            loaded.DATASETS.PROPOSAL_FILES_TEST = (cfg.DATASETS.PROPOSAL_FILES_TRAIN[index],)
            loaded.DATASETS.TEST = (self.dataset,)
        for batch in build_test_loader(loaded, self.dataset, image_ids=self.image_ids):
            yield from batch


def whole_set(name: str) -> ImageSet:
    """Return all images of a data set."""
    return ImageSet(name, tuple(image_column(load_dataset(name), "image_id").tolist()))


def sampled_set(cfg: CfgNode, name: str, count: int, seed: int = 0) -> ImageSet:
    """Return at most ``count`` images of a data set, drawn at random without replacement, in the data set's order."""
    ids = np.array(whole_set(name).image_ids)
    if count < len(ids):
        ids = ids[np.sort(np.random.default_rng(seed).permutation(len(ids))[:count])]
    return ImageSet(name, tuple(ids.tolist()), seen=name in cfg.DATASETS.TRAIN)


def chosen_set(cfg: CfgNode, name: str | None) -> str:
    """Return the data set to choose on: ``name``, or else the only one of DATASETS.TRAIN."""
    if name is not None:
        check_registered(name, "--choose-on")
        return name
    if len(cfg.DATASETS.TRAIN) != 1:
        raise ConfigError(
            f"--choose-on: expected one data set, found {len(cfg.DATASETS.TRAIN)} in DATASETS.TRAIN "
            f"({first_few(cfg.DATASETS.TRAIN)}); name one of them or another registered one"
        )
    return cfg.DATASETS.TRAIN[0]


def check_disjoint(chosen: str, reported: str) -> None:
    """Raise ConfigError if two data sets have an annotation file or an image file in common."""
    common = common_files(chosen, reported)
    if common:
        raise ConfigError(
            f"--choose-on: expected no image of DATASETS.TEST {reported!r}, because parameters must not be chosen on "
            f"the images whose results are reported, found {common} in {chosen!r}; use --folds for cross-validation"
        )


def common_files(first: str, second: str) -> str:
    """Return the image files (the first few), or the annotation file, that two data sets share, or ""."""
    files = [vars(MetadataCatalog.get(name)).get("json_file", name) for name in (first, second)]
    paths = [{os.path.abspath(path) for path in file_names(load_dataset(name)) if path} for name in (first, second)]
    common = sorted(paths[0] & paths[1])
    return first_few(common) if common else str(files[0]) if files[0] == files[1] else ""


def folds(image_ids: Sequence[int], count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Return ``count`` disjoint parts of the images, of equal size up to one.

    Raises:
        ConfigError: there are fewer than 2 parts, or fewer images than parts.
    """
    if not 2 <= count <= len(image_ids):
        raise ConfigError(f"--folds: expected a number from 2 to {len(image_ids)}, the number of images, found {count}")
    order = np.random.default_rng(seed).permutation(np.array(image_ids))
    return [tuple(sorted(part.tolist())) for part in np.array_split(order, count)]
