"""Analysis of how often a model sees each category: counts, repeat factors, shares of training instances.

Shapes: C categories, I images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.records.category_counts import CategoryStatistics
from seesaw_d2.data.records.records import ObjectColumns, object_columns
from seesaw_d2.data.sampling.repeat_factors import ROUNDINGS, category_repeat_factors, image_repeat_factors
from seesaw_d2.frequency_groups import GROUP_NAMES, LVIS_THRESHOLDS, frequency_groups

# Ways to sample images: each image once, or by repeat factors with one of the roundings.
SAMPLINGS = ("uniform", *ROUNDINGS)


@dataclass(frozen=True, eq=False)
class SamplingAnalysis:
    """The result of ``analyze_sampling``."""

    statistics: CategoryStatistics
    # (C,) 0 rare, 1 common, 2 frequent
    groups: np.ndarray
    # t of the repeat factors. None: images are not repeated
    repeat_threshold: float | None
    # (C,) r(c)
    category_factors: np.ndarray
    # sampling -> number of images in an epoch (the mean for "stochastic"); only "uniform" without t
    epoch_images: dict[str, float]
    # sampling -> (C,) numbers of instances in an epoch
    epoch_instances: dict[str, np.ndarray]

    def group_shares(self, sampling: str) -> np.ndarray:
        """Return the shares of rare, common and frequent categories in an epoch's instances: (3,) in [0, 1]."""
        instances = self.epoch_instances[sampling]
        return np.bincount(self.groups, instances, minlength=len(GROUP_NAMES)) / max(instances.sum(), 1)

    def summary(self, *samplings: str) -> str:
        """Return a few lines for the log, with the groups' shares under the given samplings (default: all)."""
        counts = self.statistics
        groups = np.bincount(self.groups, minlength=len(GROUP_NAMES))
        named = ", ".join(f"{n} {name}" for n, name in zip(groups, GROUP_NAMES, strict=True))
        instances = counts.instance_count
        lines = [
            f"{counts.num_images} images, {counts.num_annotated_images} of them with objects; {instances.sum()} "
            f"instances of {len(instances)} categories ({named}), {instances.min()} to {instances.max()} of each"
        ]
        for sampling in samplings or self.epoch_images:
            shares = ", ".join(
                f"{name} {share:.2%}" for name, share in zip(GROUP_NAMES, self.group_shares(sampling), strict=True)
            )
            lines.append(f"{sampling}: {self.epoch_images[sampling]:.0f} images an epoch; instances: {shares}")
            if sampling != "uniform":
                factors = self.category_factors
                lines[-1] += (
                    f"; repeat factors above 1 for {(factors > 1).sum()} categories, up to {factors.max():.2f} "
                    f"(threshold {self.repeat_threshold:g})"
                )
        return "\n".join(lines)


def analyze_sampling(
    records,
    num_classes: int,
    *,
    repeat_threshold: float | None,
    names: Sequence[str] | None = None,
    groups: np.ndarray | None = None,
    **options,
) -> SamplingAnalysis:
    """Analyze the sampling of images for training.

    Args:
        records: I Detectron2 dataset dicts with "annotations", after filtering.
        num_classes: C.
        repeat_threshold: t >= 0. None: images are not repeated.
        names: C category names.
        groups: (C,) frequency groups. Default: groups by the records' image counts and LVIS's thresholds.
        options: further options of ``image_repeat_factors``.
    """
    statistics = CategoryStatistics.from_dataset_dicts(records, num_classes, names)
    weights = {"uniform": np.ones(len(records))}
    factors = np.ones(num_classes)
    if repeat_threshold is not None:
        factors = category_repeat_factors(
            statistics.image_count,
            len(records),
            repeat_threshold,
            instance_count=statistics.instance_count,
            **options,
        )
        weights["stochastic"] = image_repeat_factors(records, repeat_threshold, **options).double().numpy()
        weights["ceil"] = np.ceil(weights["stochastic"])
    instances = {name: np.zeros(num_classes) for name in weights}
    for objects in map(ObjectColumns.without_crowds, object_columns(records)):
        for name, weight in weights.items():
            instances[name] += np.bincount(objects.category, weight[objects.image], minlength=num_classes)
    return SamplingAnalysis(
        statistics=statistics,
        groups=frequency_groups(statistics.image_count, LVIS_THRESHOLDS) if groups is None else groups,
        repeat_threshold=repeat_threshold,
        category_factors=factors,
        epoch_images={name: float(weight.sum()) for name, weight in weights.items()},
        epoch_instances=instances,
    )
