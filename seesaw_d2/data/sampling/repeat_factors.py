"""Compute repeat factors, build the sampler that a config selects, and compute the number of images in an epoch.

Shapes: C is the number of categories, and I is the number of images.
"""

import numpy as np
import torch
from detectron2.config import CfgNode

from seesaw_d2.compat import repeat_factor_options
from seesaw_d2.data.records.records import images_of_categories, object_columns
from seesaw_d2.data.sampling.class_aware import ClassAwareSampler, ProgressivelyBalancedSampler, SquareRootSampler
from seesaw_d2.data.sampling.epoch_samplers import EpochStream, RepeatFactorStream, SubsetStream, UniformStream
from seesaw_d2.errors import ConfigError

# Names of samplers. DATALOADER.SAMPLER_TRAIN selects a sampler by its name.
UNIFORM, REPEATED, CLASS_AWARE = "TrainingSampler", "RepeatFactorTrainingSampler", "ClassAwareSampler"
SQUARE_ROOT, PROGRESSIVE = "SquareRootSampler", "ProgressivelyBalancedSampler"
SUBSET = "RandomSubsetTrainingSampler"
# For these samplers, ``epoch_length`` returns the number of images in an epoch.
WITH_EPOCHS = (UNIFORM, REPEATED, CLASS_AWARE, SQUARE_ROOT, PROGRESSIVE)
# Samplers that work with all versions of Detectron2.
SAMPLERS = (*WITH_EPOCHS, SUBSET)
# Samplers that work only with Detectron2's main branch. A resumed training with these samplers restarts the image order
# from the beginning.
MAIN_SAMPLERS = ("WeightedTrainingSampler", "WeightedCategoryTrainingSampler")
# Dict from each sampler to the config keys that only this sampler reads. Some of the config keys exist only in
# Detectron2's main branch.
SAMPLER_KEYS = {
    REPEATED: tuple(f"DATALOADER.REPEAT_{name}" for name in ("THRESHOLD", "ROUNDING", "FREQUENCY", "SQRT")),
    SUBSET: ("DATALOADER.RANDOM_SUBSET_RATIO",),
}
# Allowed values of the config keys DATALOADER.REPEAT_ROUNDING and DATALOADER.REPEAT_FREQUENCY.
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
    """Return the repeat factor r(c) = max(1, sqrt(t / f(c))) of each category c (Gupta et al., CVPR 2019, B.2).

    In this formula, t is ``threshold``, and f(c) is the frequency of category c.

    Args:
        image_count: (C,) number of images with each of the C categories. The repeat factor of a category without images
            is 1.
        num_images: number of all images, >= 1.
        threshold: threshold t >= 0.
        sqrt: if True, use the formula above. If False, use max(1, t / f(c)), an option of Detectron2's main branch.
        frequency: definition of f(c):

            - "images": f(c) is the fraction of images with the category.
            - "instances": f(c) is the geometric mean of two fractions: the fraction of images with the category, and
              the fraction of instances that belong to the category (instance-aware repeat factors of Yaman, Mahmud and
              Liu, 2023, arXiv 2305.08069).
        instance_count: (C,) number of instances of each category. Required if ``frequency`` is "instances".

    Returns:
        the repeat factors (C,), float64.
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
    """Return the repeat factor of each of the I images, (I,) float32: how often an epoch contains the image on average.

    The repeat factor of an image is the maximum of r(c) over the categories c in the image, or 1 without annotations.
    r(c) is the repeat factor of category c (``category_repeat_factors``). Earlier releases of MMDetection skip images
    without annotations, which shifts the repeat factors of all later images (mmengine's pull request 1048).

    Args:
        records: I dataset dicts with "annotations". Crowds count as objects, as in Detectron2.
        threshold: threshold t >= 0 in r(c) = max(1, sqrt(t / f(c))), where f(c) is the frequency of category c.
        rounding: how to round the repeat factors:

            - "stochastic": do not round here, because the sampler randomly rounds in each epoch. The returned values
              equal those of Detectron2's ``repeat_factors_from_category_frequency``.
            - "ceil": round the repeat factors up, like MMDetection's ``ClassBalancedDataset``.
        options: further arguments of ``category_repeat_factors``, such as ``frequency``.
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
    """Build the sampler that DATALOADER.SAMPLER_TRAIN selects.

    Args:
        cfg: config with DATALOADER.SAMPLER_TRAIN and the keys that this sampler reads.
        records: dataset dicts.
        seed: seed of the image order, equal in all processes.

    Returns:
        the sampler, or None for the samplers in ``MAIN_SAMPLERS``, which only Detectron2's loader supports.
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
    """Return the number of images in an epoch of the sampler that DATALOADER.SAMPLER_TRAIN selects.

    For repeat factor sampling, this is the sum of the images' repeat factors. With "stochastic" rounding, this sum is
    the mean number of images in an epoch. For other samplers, it is the number of dataset dicts. Class-aware samplers
    have no epochs of their own, but the class-aware configs of EQL v2 also count ``len(records)`` images as an epoch.
    """
    if cfg.DATALOADER.SAMPLER_TRAIN != REPEATED:
        return float(len(records))
    return float(_configured_factors(cfg, records).double().sum())


def _configured_factors(cfg: CfgNode, records) -> torch.Tensor:
    node = cfg.DATALOADER
    return image_repeat_factors(records, node.REPEAT_THRESHOLD, node.REPEAT_ROUNDING, **repeat_factor_options(cfg))


def validate_sampling(cfg: CfgNode) -> None:
    """Raise ConfigError if the sampler, rounding, frequency or threshold in DATALOADER is invalid."""
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
        raise ConfigError(f"DATALOADER.REPEAT_THRESHOLD: expected a finite number >= 0, found {node.REPEAT_THRESHOLD}")
