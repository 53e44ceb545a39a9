"""Compute how often training samples the images and instances of each category in an epoch.

Shapes: C is the number of categories, and I is the number of images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seesaw_d2.data.records.category_counts import CategoryStatistics
from seesaw_d2.data.records.records import ObjectColumns, object_columns
from seesaw_d2.data.sampling.repeat_factors import category_repeat_factors, image_repeat_factors
from seesaw_d2.frequency_groups import GROUP_NAMES, LVIS_THRESHOLDS, frequency_groups


@dataclass(frozen=True, eq=False)
class SamplingAnalysis:
    """Numbers of images and instances of each of C categories that training samples in an epoch.

    Attributes:
        statistics: numbers of images and instances of each category in the dataset.
        groups: (C,) frequency groups (0: rare, 1: common, 2: frequent).
        repeat_threshold: threshold t of the repeat factors. If None, images are not repeated.
        category_factors: (C,) repeat factor of each category. If images are not repeated, all values are 1.
        epoch_images: dict from sampling method to the number of images per epoch. "uniform" samples each image once.
            "stochastic" and "ceil" are repeat factor sampling with random or upward rounding of the repeat factors. For
            "stochastic", this is the mean number. If ``repeat_threshold`` is None, the only key is "uniform".
        epoch_instances: dict from sampling method to the number of instances of each category per epoch, (C,).
    """

    statistics: CategoryStatistics
    groups: np.ndarray
    repeat_threshold: float | None
    category_factors: np.ndarray
    epoch_images: dict[str, float]
    epoch_instances: dict[str, np.ndarray]

    def group_shares(self, sampling: str) -> np.ndarray:
        """Return which fractions of the instances in an epoch belong to rare, common and frequent categories, (3,).

        Args:
            sampling: sampling method, "uniform", "stochastic" or "ceil".
        """
        instances = self.epoch_instances[sampling]
        return np.bincount(self.groups, instances, minlength=len(GROUP_NAMES)) / max(instances.sum(), 1)

    def summary(self, *samplings: str) -> str:
        """Return a text for the log: the numbers of images and instances, and a line for each sampling method.

        Args:
            samplings: sampling methods to describe, "uniform", "stochastic" or "ceil". Default: all keys of
                ``epoch_images``.
        """
        counts = self.statistics
        groups = np.bincount(self.groups, minlength=len(GROUP_NAMES))
        named = ", ".join(f"{n} {name}" for n, name in zip(groups, GROUP_NAMES, strict=True))
        instances = counts.instance_count
        lines = [
            f"{counts.num_images} images ({counts.num_annotated_images} with objects), {instances.sum()} instances of "
            f"{len(instances)} categories ({named}), {instances.min()} to {instances.max()} instances per category"
        ]
        for sampling in samplings or self.epoch_images:
            shares = ", ".join(
                f"{name} {share:.2%}" for name, share in zip(GROUP_NAMES, self.group_shares(sampling), strict=True)
            )
            lines.append(f"{sampling}: {self.epoch_images[sampling]:.0f} images per epoch. Instances: {shares}")
            if sampling != "uniform":
                factors = self.category_factors
                lines[-1] += (
                    f". {(factors > 1).sum()} categories have repeat factors above 1, up to {factors.max():.2f} "
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
    """Compute how often training samples the images and instances of each category in an epoch.

    Args:
        records: I dataset dicts with "annotations", without the images that training omits.
        num_classes: number of categories C.
        repeat_threshold: threshold t >= 0 of the repeat factors. If None, images are not repeated.
        names: C category names. If None, use the indices as names.
        groups: (C,) frequency groups (0: rare, 1: common, 2: frequent). If None, use LVIS's thresholds and the image
            counts of ``records``.
        options: further arguments of ``image_repeat_factors``, such as ``frequency``.
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
