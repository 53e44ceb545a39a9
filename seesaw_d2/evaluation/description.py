"""Describe an evaluation, and select the tasks ("bbox", "segm") that ground truth and detections support."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from lvis import LVIS

from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.utils.declared_keys import lookup
from seesaw_d2.utils.messages import first_few

if TYPE_CHECKING:
    from seesaw_d2.data.records.annotation_files import AnnotationFile

logger = logging.getLogger(__name__)


def score_threshold_key(architecture: str) -> str:
    """Return the config key with the minimum score of detections.

    Args:
        architecture: value of MODEL.META_ARCHITECTURE. One-stage detectors have a key of their own.
    """
    known = META_ARCH_REGISTRY.get(architecture) if architecture in META_ARCH_REGISTRY else None
    one_stage = isinstance(known, type) and issubclass(known, DenseDetector)
    return f"MODEL.{'RETINANET' if one_stage else 'ROI_HEADS'}.SCORE_THRESH_TEST"


def model_settings(cfg: CfgNode) -> dict[str, Any]:
    """Return the settings of a model that limit its detections, and its weights, for ``evaluation.json``."""
    return {
        "score threshold": lookup(cfg, score_threshold_key(cfg.MODEL.META_ARCHITECTURE)),
        "detections kept in an image": cfg.TEST.DETECTIONS_PER_IMAGE,
        "MODEL.WEIGHTS": cfg.MODEL.WEIGHTS or "none",  # during training, the initial weights
    }


def describe(
    name: str, json_file: str, ground_truth: LVIS, detections: Detections, num_images: int | None
) -> dict[str, Any]:
    """Return a description of the evaluated dataset and of the detections, for ``evaluation.json``.

    The description shows whether two AP values are comparable.

    Args:
        name: name of the dataset.
        json_file: path of the annotation file.
        ground_truth: the content of the annotation file.
        detections: detections of the model on this dataset.
        num_images: number of images on which the model ran, or None if it is unknown, as for a results file.

    Returns:
        a dict from a property, such as "images evaluated", to its value. If ``num_images`` is None, the dict has
        "images with detections" instead of "images evaluated".
    """
    images, counts = np.unique(detections.image_ids, return_counts=True)
    return {
        "dataset": name,
        "annotation file": os.path.abspath(json_file),
        "version": _version(ground_truth),
        "images in the annotation file": len(ground_truth.imgs),
        **({"images with detections": len(images)} if num_images is None else {"images evaluated": num_images}),
        "categories": len(ground_truth.cats),
        "detections": len(detections),
        "detections in an image, at most": int(counts.max()) if len(counts) else 0,
        "lowest score": float(detections.scores.min()) if len(detections) else None,
    }


def count_beyond_limit(name: str, detections: Detections, limit: int) -> int:
    """Return the number of detections that the evaluation ignores, because their images have too many detections.

    Log a warning if the number is not 0.

    Args:
        name: name of the dataset, for the warning.
        detections: the detections of all images.
        limit: number of detections that the evaluation uses per image. The others have lower scores.
    """
    counts = np.unique(detections.image_ids, return_counts=True)[1]
    beyond = counts[counts > limit] - limit
    if len(beyond):
        logger.warning(
            "%s: %d of %d detections are not counted, because %d images have more than %d detections. Of each image, "
            "the %d detections with the highest scores are counted",
            *(name, beyond.sum(), len(detections), len(beyond), limit, limit),
        )
    return int(beyond.sum())


def _version(ground_truth: LVIS) -> str:
    """Return "LVIS v1", "LVIS v0.5", or "own" for any other dataset.

    The number of categories determines the version, because annotation files may state a wrong version.
    """
    synsets = all("synset" in category for category in ground_truth.cats.values())
    return {1203: "LVIS v1", 1230: "LVIS v0.5"}.get(len(ground_truth.cats), "own") if synsets else "own"


def evaluable_tasks(
    name: str, file: AnnotationFile, detections: Detections, tasks: Sequence[str] | None = None
) -> list[str]:
    """Return the tasks ("bbox", "segm") that ground truth and detections support. Log a warning for each omitted task.

    Args:
        name: name of the dataset, for the warnings.
        file: annotation file with the ground truth.
        detections: the detections.
        tasks: requested tasks, "bbox", "segm" or both. Default: "bbox", and "segm" if the detections have masks.

    Raises:
        DataError: the detections have no boxes, and the ground truth does not support masks.
    """
    if not len(detections):
        logger.warning("%s: each AP is 0 or NaN, because there are no detections", name)
    found = list(tasks or ("bbox", "segm"))
    if tasks is None and not detections.has_masks:
        found.remove("segm")
    without = _without_masks(file) if "segm" in found else []
    if without:
        ids = first_few(without)
        if detections.boxes is None:
            raise DataError(
                f'{file.path}: expected "segmentation" in all annotations except crowds, found annotations without '
                f'this field (ids {ids}). The detections have masks, but no "bbox", so boxes cannot be evaluated either'
            )
        logger.warning(
            '%s: masks are not evaluated, because annotations with the ids %s have no "segmentation"', name, ids
        )
        found.remove("segm")
    elif "segm" in found and not detections.has_masks:
        logger.warning("%s: masks are not evaluated, because the detections have no masks", name)
        found.remove("segm")
    if "bbox" in found and detections.boxes is None:
        logger.warning("%s: boxes are not evaluated, because the detections have no boxes", name)
        found.remove("bbox")
    return found


def _without_masks(file: AnnotationFile) -> list[int]:
    """Return the ids of annotations that have no mask and are not crowds.

    If there are such annotations, masks cannot be evaluated.
    """
    items = file.ground_truth or ()
    return [item["id"] for item in items if not item.get("segmentation") and not item.get("iscrowd", 0)]
