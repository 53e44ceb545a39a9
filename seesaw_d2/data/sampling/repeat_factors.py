"""Repeat factor sampling with two kinds of rounding, the choice of a sampler, and the length of an epoch.

Shapes: C categories, I images.
"""

import numpy as np
import torch
from detectron2.config import CfgNode

from seesaw_d2.compat import repeat_factor_options
from seesaw_d2.data.records.records import images_of_categories, object_columns
from seesaw_d2.data.sampling.class_aware import ClassAwareSampler, ProgressivelyBalancedSampler, SquareRootSampler
from seesaw_d2.data.sampling.epoch_samplers import EpochStream, RepeatFactorStream, SubsetStream, UniformStream
from seesaw_d2.errors import ConfigError

UNIFORM, REPEATED, CLASS_AWARE = "TrainingSampler", "RepeatFactorTrainingSampler", "ClassAwareSampler"
SQUARE_ROOT, PROGRESSIVE = "SquareRootSampler", "ProgressivelyBalancedSampler"
SUBSET = "RandomSubsetTrainingSampler"
# Samplers with a defined epoch; see ``epoch_length``.
WITH_EPOCHS = (UNIFORM, REPEATED, CLASS_AWARE, SQUARE_ROOT, PROGRESSIVE)
# Values of DATALOADER.SAMPLER_TRAIN. The two weighted samplers exist only in Detectron2's main branch. Their order
# starts from the beginning in a resumed training.
SAMPLERS = (*WITH_EPOCHS, SUBSET)
MAIN_SAMPLERS = ("WeightedTrainingSampler", "WeightedCategoryTrainingSampler")
# Sampler -> config keys that it reads, including keys of Detectron2's main branch.
SAMPLER_KEYS = {
    REPEATED: tuple(f"DATALOADER.REPEAT_{name}" for name in ("THRESHOLD", "ROUNDING", "FREQUENCY", "SQRT")),
    SUBSET: ("DATALOADER.RANDOM_SUBSET_RATIO",),
}
ROUNDINGS = ("stochastic", "ceil")
FREQUENCIES = ("images", "instances")


def category_repeat_factors(
    image_count: np.ndarray,
    num_images: int,
    threshold: float,
    sqrt: bool = True,
    *,
    frequency: str = "images",
    instance_count: np.ndarray | None = None,
) -> np.ndarray:
    """Return r(c) = max(1, sqrt(t / f(c))), where f(c) = images with c / images (Gupta et al., CVPR 2019, B.2).

    With "instances" f(c) is the geometric mean of this and of the category's share in all instances: instance-aware
    repeat factors (IRFS; Yaman, Mahmud and Liu, 2023, arXiv 2305.08069).

    Args:
        image_count: (C,) images with the category. A category without images has r = 1.
        num_images: total number of images, >= 1.
        threshold: t >= 0.
        sqrt: False: use t / f(c) without the square root, an option of Detectron2 main.
        frequency: "images" or "instances".
        instance_count: (C,) instances of the category. Needed only with "instances".

    Returns:
        (C,) float64.
    """
    image_count = np.asarray(image_count)
    present = image_count > 0
    shares = np.where(present, image_count, np.inf) / num_images
    if frequency == "instances":
        instances = np.asarray(instance_count)
        shares = np.where(present, np.sqrt(shares * np.maximum(instances, 1) / max(instances.sum(), 1)), np.inf)
    ratio = threshold / shares
    return np.maximum(1.0, np.sqrt(ratio) if sqrt else ratio)


def image_repeat_factors(records, threshold: float, rounding: str = "stochastic", **options) -> torch.Tensor:
    """Return each image's mean number of draws per epoch, (I,) float32: the maximum of r(c) over its categories.

    The factors are those of Detectron2's ``repeat_factors_from_category_frequency``. "ceil" rounds them up like
    MMDetection's ``ClassBalancedDataset``, so that Detectron2's sampler does not round. Images without annotations have
    factor 1. Earlier releases of the reference skipped them, which shifted the factors of all later images (mmengine
    pull request 1048).

    Args:
        records: I Detectron2 dataset dicts with "annotations". Crowds count, as in Detectron2.
        threshold: t >= 0.
        rounding: "stochastic" or "ceil".
        options: options of ``category_repeat_factors``.
    """
    category, image = images_of_categories(records, crowds=True)
    factors = np.ones(len(records))
    if len(category):
        if options.get("frequency") == "instances":
            options["instance_count"] = sum(
                np.bincount(objects.category, minlength=int(category.max()) + 1) for objects in object_columns(records)
            )
        by_category = category_repeat_factors(np.bincount(category), len(records), threshold, **options)
        np.maximum.at(factors, image, by_category[category])
    result = torch.from_numpy(factors).float()
    return result.ceil() if rounding == "ceil" else result


def build_sampler(cfg: CfgNode, records, seed: int) -> EpochStream | None:
    """Build the sampler of DATALOADER.SAMPLER_TRAIN.

    Args:
        cfg: a config. DATALOADER.REPEAT_* and RANDOM_SUBSET_RATIO are also read.
        records: dataset dicts.
        seed: seed of the stream, equal in all processes.

    Returns:
        the sampler, or None for ``MAIN_SAMPLERS``, which only Detectron2's loader supports.
    """
    node = cfg.DATALOADER
    builders = {
        UNIFORM: lambda: UniformStream(len(records), seed=seed),
        REPEATED: lambda: RepeatFactorStream(_configured_factors(cfg, records), seed=seed),
        SUBSET: lambda: SubsetStream(len(records), node.RANDOM_SUBSET_RATIO, seed_shuffle=seed, seed_subset=seed),
        CLASS_AWARE: lambda: ClassAwareSampler(records, seed=seed),
        SQUARE_ROOT: lambda: SquareRootSampler(records, seed=seed),
        PROGRESSIVE: lambda: ProgressivelyBalancedSampler(
            records, length=cfg.SOLVER.MAX_ITER * cfg.SOLVER.IMS_PER_BATCH, seed=seed
        ),
    }
    build = builders.get(node.SAMPLER_TRAIN)
    return None if build is None else build()


def epoch_length(cfg: CfgNode, records) -> float:
    """Return the number of images in an epoch of the configured sampler: the sum of the repeat factors, or I.

    Samplers by category have no epochs. For them an epoch is defined as I images (eqlv2's configs draw 12 times I).
    With "stochastic" rounding the result is a mean, and an actual epoch is a little longer or shorter.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != REPEATED:
        return float(len(records))
    return float(_configured_factors(cfg, records).double().sum())


def _configured_factors(cfg: CfgNode, records) -> torch.Tensor:
    node = cfg.DATALOADER
    return image_repeat_factors(records, node.REPEAT_THRESHOLD, node.REPEAT_ROUNDING, **repeat_factor_options(cfg))


def validate_sampling(cfg: CfgNode) -> None:
    """Raise ConfigError for an unknown sampler, rounding or frequency, or a negative threshold."""
    node = cfg.DATALOADER
    if node.SAMPLER_TRAIN not in SAMPLERS + MAIN_SAMPLERS:
        raise ConfigError(
            f"DATALOADER.SAMPLER_TRAIN: expected one of {', '.join(SAMPLERS)}, found {node.SAMPLER_TRAIN!r}"
        )
    for key, values in (("REPEAT_ROUNDING", ROUNDINGS), ("REPEAT_FREQUENCY", FREQUENCIES)):
        if node[key] not in values:
            choices = " or ".join(f'"{name}"' for name in values)
            raise ConfigError(f"DATALOADER.{key}: expected {choices}, found {node[key]!r}")
    if not 0 <= node.REPEAT_THRESHOLD < float("inf"):
        raise ConfigError(f"DATALOADER.REPEAT_THRESHOLD: expected a number >= 0, found {node.REPEAT_THRESHOLD}")
