"""Compute LVIS's metrics and optional metrics of detections.

``Curves`` describes the shapes of precision and recall.
"""

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from lvis import LVIS

from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.ground_truth import Curves, subset
from seesaw_d2.evaluation.metric_registry import register_metric
from seesaw_d2.frequency_groups import GROUP_LETTERS

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")
RECALLS = ("AR", "ARs", "ARm", "ARl")
# LVIS evaluates only the detections with the highest scores, at most this number per image.
LVIS_DETECTIONS_PER_IMAGE = 300
# The metric AP_fixed evaluates only the detections with the highest scores, at most this number per category in the
# whole dataset (Dave et al., "Evaluating Large-Vocabulary Object Detectors: The Devil is in the Details", 2021).
FIXED_DETECTIONS_PER_CATEGORY = 10_000

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_SIZES = {"s": 1, "m": 2, "l": 3}
_GROUP_METRICS = ("AP", "APr", "APc", "APf")
# The metric AP_coco evaluates only the LVIS categories that COCO also contains. It finds them by the WordNet synsets of
# COCO's 80 categories, in the notation of LVIS (lvis-api's data/coco_to_synset.json).
_COCO_NAMES = """
airplane.n.01 apple.n.01 backpack.n.01 bag.n.04 bag.n.06 ball.n.06 banana.n.02 baseball_bat.n.01 baseball_glove.n.01
bear.n.01 bed.n.01 beef.n.01 bench.n.01 bicycle.n.01 bird.n.01 boat.n.01 book.n.01 bottle.n.01 bowl.n.03 broccoli.n.01
bus.n.01 cake.n.03 car.n.01 carrot.n.01 cat.n.01 cellular_telephone.n.01 chair.n.01 clock.n.01 computer_keyboard.n.01
cup.n.01 dining_table.n.01 dog.n.01 doughnut.n.02 electric_refrigerator.n.01 elephant.n.01 fireplug.n.01 fork.n.01
frank.n.02 frisbee.n.01 giraffe.n.01 hand_blower.n.01 horse.n.01 kite.n.03 knife.n.01 laptop.n.01 microwave.n.02
motorcycle.n.01 mouse.n.04 necktie.n.01 orange.n.01 oven.n.01 parking_meter.n.01 person.n.01 pizza.n.01 pot.n.04
remote_control.n.01 sandwich.n.01 scissors.n.01 sheep.n.01 sink.n.01 skateboard.n.01 ski.n.01 snowboard.n.01 sofa.n.01
spoon.n.01 stop_sign.n.01 surfboard.n.01 teddy.n.01 television_receiver.n.01 tennis_racket.n.01 toaster.n.02
toilet.n.02 toothbrush.n.01 traffic_light.n.01 train.n.01 truck.n.01 umbrella.n.01 vase.n.01 wineglass.n.01 zebra.n.01
"""
COCO_SYNSETS = frozenset(_COCO_NAMES.split())


def detections_per_image(cfg: CfgNode) -> int:
    """Return the number of detections per image to evaluate: TEST.DETECTIONS_PER_IMAGE, but at most LVIS's 300.

    If TEST.DETECTIONS_PER_IMAGE is negative, Detectron2's models keep all detections, and the result is 300.
    """
    kept = cfg.TEST.DETECTIONS_PER_IMAGE
    return LVIS_DETECTIONS_PER_IMAGE if kept < 0 else min(kept, LVIS_DETECTIONS_PER_IMAGE)


@dataclass(frozen=True, eq=False)
class DetectionResults:
    """Detections and ground truth. The detection metrics take this object as their only argument.

    Attributes:
        ground_truth: ground truth as an lvis-api object, created by ``lvis_ground_truth``.
        detections: all detections of the model, also those beyond ``max_dets_per_image``.
        iou_type: "bbox" or "segm".
        engine: function that computes precision and recall from ground truth, detections and ``iou_type``, with hotcoco
            or with lvis-api (a value of ``ENGINES``).
        max_dets_per_image: maximum number of detections per image. Only the highest-scoring detections are evaluated.
        groups: dict from frequency group ("r", "c" or "f") to the ids of the categories in this group. None if the
            groups are unknown.
    """

    ground_truth: LVIS
    detections: Detections
    iou_type: str
    engine: Callable[[LVIS, Detections, str], Curves]
    max_dets_per_image: int = LVIS_DETECTIONS_PER_IMAGE
    groups: dict[str, set[int]] | None = None

    @functools.cached_property
    def curves(self) -> Curves:
        """Return precision and recall of the ``max_dets_per_image`` highest-scoring detections of each image."""
        counted = self.detections[self.detections.best_per_image(self.max_dets_per_image)]
        return self.engine(self.ground_truth, counted, self.iou_type)


def group_members(ground_truth: LVIS) -> dict[str, set[int]]:
    """Return a dict from each frequency group ("r", "c" and "f") to the ids of the categories in this group."""
    members: dict[str, set[int]] = {letter: set() for letter in GROUP_LETTERS}
    for key, category in ground_truth.cats.items():
        members[category["frequency"]].add(key)
    return members


@register_metric("lvis")
def lvis_metrics(results: DetectionResults) -> dict[str, float]:
    """Compute LVIS's thirteen metrics in percent: AP, AP50, AP75, APs, APm, APl, APr, APc, APf, AR, ARs, ARm, ARl."""
    return summarize(results.curves, results.groups)


@register_metric("fixed", optional=True)
def average_precision_fixed(results: DetectionResults) -> dict[str, float]:
    """Compute AP, APr, APc and APf of the 10,000 highest-scoring detections of each category (Dave et al., 2021).

    The number of detections per image is not limited. The names of the metrics end with "_fixed".
    """
    best = np.sort(results.detections.best_per_category(FIXED_DETECTIONS_PER_CATEGORY))
    curves = results.engine(results.ground_truth, results.detections[best], results.iou_type)
    return group_metrics(curves, results.groups, "fixed")


def minival_image_ids(ground_truth: LVIS) -> list[int]:
    """Return the ids of the images of LVIS minival, which COCO's val2017 also contains.

    Raises:
        ConfigError: the dataset has no such image.
    """
    ids = [key for key, image in ground_truth.imgs.items() if "/val2017/" in str(image.get("coco_url"))]
    if not ids:
        raise ConfigError(
            'TEST.LVIS_METRICS: the metric "minival" is defined for LVIS v1 val, which includes images of COCO '
            'val2017, but no image of this dataset has "/val2017/" in its "coco_url". Remove "minival"'
        )
    return ids


@register_metric("minival", check=minival_image_ids, optional=True)
def average_precision_minival(results: DetectionResults) -> dict[str, float]:
    """Compute AP, APr, APc and APf on LVIS minival, as in MDETR and GLIP.

    LVIS minival consists of the 4,809 images of LVIS v1 val that COCO's val2017 also contains. The names of the metrics
    end with "_minival".
    """
    ground_truth = subset(results.ground_truth, minival_image_ids(results.ground_truth))
    detections = results.detections[np.isin(results.detections.image_ids, list(ground_truth.imgs))]
    counted = detections[detections.best_per_image(results.max_dets_per_image)]
    return group_metrics(results.engine(ground_truth, counted, results.iou_type), results.groups, "minival")


def coco_category_ids(ground_truth: LVIS) -> set[int]:
    """Return the ids of the categories that have the WordNet synset of a COCO category.

    Raises:
        ConfigError: the dataset has no such category.
    """
    ids = {key for key, category in ground_truth.cats.items() if str(category.get("synset")) in COCO_SYNSETS}
    if not ids:
        raise ConfigError(
            'TEST.LVIS_METRICS: the metric "coco" is defined for the LVIS categories that COCO contains, but no '
            'category of this dataset has the "synset" of a COCO category. Remove "coco"'
        )
    return ids


@register_metric("coco", check=coco_category_ids, optional=True)
def average_precision_coco(results: DetectionResults) -> dict[str, float]:
    """Compute "AP_coco", the AP over the LVIS categories that COCO also contains."""
    return {"AP_coco": mean_of_categories(results.curves, coco_category_ids(results.ground_truth))}


def summarize(curves: Curves, groups: dict[str, set[int]] | None = None) -> dict[str, float]:
    """Compute LVIS's thirteen metrics in percent.

    Args:
        curves: precision and recall of all categories.
        groups: dict from frequency group ("r", "c" or "f") to the ids of the categories in this group. If None, APr,
            APc and APf are NaN.

    Returns:
        a dict from metric to percent. A metric is NaN if the ground truth has no object of the metric's size or
        frequency group.
    """
    precision, recall = curves.precision, curves.recall
    metrics = {"AP": _mean(precision[..., 0])}
    for name, value in (("AP50", 0.5), ("AP75", 0.75)):
        metrics[name] = _mean(precision[np.isclose(_THRESHOLDS, value), ..., 0])
    for size, index in _SIZES.items():
        metrics[f"AP{size}"] = _mean(precision[..., index])
    for letter in GROUP_LETTERS:
        metrics[f"AP{letter}"] = mean_of_categories(curves, (groups or {}).get(letter, ()))
    metrics["AR"] = _mean(recall[..., 0])
    for size, index in _SIZES.items():
        metrics[f"AR{size}"] = _mean(recall[..., index])
    return metrics


def category_average_precision(curves: Curves) -> dict[str, np.ndarray]:
    """Compute AP, AP50 and AP75 of each category.

    Returns:
        a dict from "AP", "AP50" and "AP75" to an array with a value in percent for each category, in ascending order of
        category ids. The value is NaN for categories without objects.
    """
    precision = np.where(curves.precision[..., 0] > -1, curves.precision[..., 0], np.nan)
    rows = {"AP": precision, "AP50": precision[:1], "AP75": precision[5:6]}
    return {name: 100 * values.mean(axis=(0, 1)) for name, values in rows.items()}


def mean_of_categories(curves: Curves, category_ids: Collection[int]) -> float:
    """Return the mean AP of the given categories in percent, or NaN if these categories have no objects."""
    chosen = np.array([key in category_ids for key in curves.category_ids], dtype=bool)
    return _mean(curves.precision[:, :, chosen, 0])


def group_metrics(curves: Curves, groups: dict[str, set[int]] | None, suffix: str) -> dict[str, float]:
    """Compute AP, APr, APc and APf in percent, under names with a suffix, such as "AP_fixed" for the suffix "fixed".

    Args:
        curves: precision and recall of all categories.
        groups: dict from frequency group ("r", "c" or "f") to the ids of the categories in this group. If None, APr,
            APc and APf are NaN.
        suffix: end of the names of the metrics.
    """
    found = summarize(curves, groups)
    return {f"{name}_{suffix}": found[name] for name in _GROUP_METRICS}


def _mean(values: Any) -> float:
    present = values[values > -1]
    return float(np.mean(present)) * 100 if present.size else float("nan")
