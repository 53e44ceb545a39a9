"""LVIS's metrics of given detections."""

from collections.abc import Collection
from typing import Any

import numpy as np
from lvis import LVIS

from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.engines import ENGINES, Curves
from seesaw_d2.frequency_groups import GROUP_LETTERS

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")
RECALLS = ("AR", "ARs", "ARm", "ARl")
# LVIS counts so many detections of the highest scores in an image.
LVIS_DETECTIONS_PER_IMAGE = 300
# AP_fixed counts so many detections of a category over the whole data set instead (Dave et al., "Evaluating
# Large-Vocabulary Object Detectors: The Devil is in the Details", 2021).
FIXED_DETECTIONS_PER_CATEGORY = 10_000

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_SIZES = {"s": 1, "m": 2, "l": 3}


def average_precision(
    ground_truth: LVIS,
    detections: Detections,
    iou_type: str,
    max_dets_per_image: int = LVIS_DETECTIONS_PER_IMAGE,
    engine: str = "hotcoco",
) -> dict[str, float]:
    """LVIS's thirteen metrics.

    Args:
        ground_truth: see ``lvis_ground_truth``; its categories have their groups as ``frequency``.
        detections: not changed.
        iou_type: "bbox" or "segm". The size of a detection is that of its box or of its mask.
        max_dets_per_image: only so many detections with the highest scores count in an image.
        engine: a name in ENGINES.

    Returns:
        Percent, for each of METRICS and RECALLS. nan where there is nothing to find (no object of that size or
        group); 0 where there is and nothing was, as with no detections at all.
    """
    counted = detections[detections.best_per_image(max_dets_per_image)]
    return summarize(ENGINES[engine](ground_truth, counted, iou_type), group_members(ground_truth))


def fixed_average_precision(ground_truth: LVIS, detections: Detections, iou_type: str, engine: str) -> Curves:
    """The curves of AP_fixed: 10,000 detections of each category, no limit for an image (Dave et al. 2021)."""
    counted = detections[np.sort(detections.best_per_category(FIXED_DETECTIONS_PER_CATEGORY))]
    return ENGINES[engine](ground_truth, counted, iou_type)


def group_members(ground_truth: LVIS) -> dict[str, set[int]]:
    """ "r", "c", "f" -> the ids of the group's categories."""
    members: dict[str, set[int]] = {letter: set() for letter in GROUP_LETTERS}
    for key, category in ground_truth.cats.items():
        members[category["frequency"]].add(key)
    return members


def summarize(curves: Curves, groups: dict[str, Collection[int]] | None = None) -> dict[str, float]:
    """The thirteen numbers, in percent; nan for what there is nothing of. Without ``groups`` no APr, APc, APf."""
    precision, recall = curves.precision, curves.recall
    metrics = {"AP": _mean(precision[..., 0])}
    for name, value in (("AP50", 0.5), ("AP75", 0.75)):
        metrics[name] = _mean(precision[np.isclose(_THRESHOLDS, value), ..., 0])
    for size, index in _SIZES.items():
        metrics[f"AP{size}"] = _mean(precision[..., index])
    for letter in GROUP_LETTERS:
        members = (groups or {}).get(letter, ())
        chosen = np.array([key in members for key in curves.category_ids], dtype=bool)
        metrics[f"AP{letter}"] = _mean(precision[:, :, chosen, 0])
    metrics["AR"] = _mean(recall[..., 0])
    for size, index in _SIZES.items():
        metrics[f"AR{size}"] = _mean(recall[..., index])
    return metrics


def category_average_precision(curves: Curves) -> dict[str, np.ndarray]:
    """ "AP", "AP50", "AP75" of each category, (C,) in percent; nan for those without an object."""
    precision = np.where(curves.precision[..., 0] > -1, curves.precision[..., 0], np.nan)
    rows = {"AP": precision, "AP50": precision[:1], "AP75": precision[5:6]}
    return {name: 100 * values.mean(axis=(0, 1)) for name, values in rows.items()}


def mean_of_categories(curves: Curves, category_ids: Collection[int]) -> float:
    """AP over some categories only, in percent."""
    chosen = np.array([key in category_ids for key in curves.category_ids], dtype=bool)
    return _mean(curves.precision[:, :, chosen, 0])


def _mean(values: Any) -> float:
    present = values[values > -1]
    return float(np.mean(present)) * 100 if present.size else float("nan")
