"""Compute detections from stored proposals as in inference: scores, calibration, score threshold, NMS and top-k.

Shapes: R proposals of an image, C categories, L logits, K boxes of a proposal (1 or C).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import Instances
from torch import Tensor, nn

from seesaw_d2.choosing.shared_boxes import applicable, shared_box_detections
from seesaw_d2.choosing.stored_proposals import ImageProposals
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.modeling.calibration.base import Calibration, class_probabilities
from seesaw_d2.modeling.cascade import mean_of_stages

_MOST_LOGITS = 2**22  # to save memory, ``batch_detections`` processes at most this many logits at once


@dataclass(frozen=True)
class Limits:
    """Thresholds that select detections, as in Detectron2's FastRCNNOutputLayers.

    Attributes:
        score_thresh: minimum score of a detection.
        nms_thresh: IoU threshold of NMS.
        topk: maximum number of detections per image. If negative, all detections are kept.
    """

    score_thresh: float
    nms_thresh: float
    topk: int


@dataclass(frozen=True, eq=False)
class Scoring:
    """Function that computes class scores from logits: calibrated probabilities, averaged over the cascade stages.

    Attributes:
        losses: the loss of each stage, which defines how its logits are converted to probabilities.
        calibrations: the calibration of each stage, which rescales the probabilities, or None for no calibration.
        classifiers: the classifier of each stage. Some calibrations use its weights.
    """

    losses: Sequence[ClassificationLoss]
    calibrations: Sequence[Calibration | None]
    classifiers: Sequence[nn.Linear]

    def __call__(self, logits: Sequence[Tensor]) -> Tensor:
        """Return the scores (R, C + 1) of R proposals for C categories and background.

        Args:
            logits: list with the logits (R, L) of each stage. The loss defines the number L of logits per proposal.
        """
        stages = zip(logits, self.losses, self.calibrations, self.classifiers, strict=True)
        return mean_of_stages([class_probabilities(*stage) for stage in stages])


def selected(image: ImageProposals, scoring: Callable[[list[Tensor]], Tensor], limits: Limits) -> Instances:
    """Select the detections of an image from its stored proposals, as the ROI heads do.

    Args:
        image: stored boxes and logits of the R proposals of the image.
        scoring: function that takes a list with the logits of each stage, and returns the scores (R, C + 1) for C
            categories and background, such as a ``Scoring``.
        limits: score threshold, NMS threshold and maximum number of detections.

    Returns:
        the detections, with boxes in pixels of the resized image (the input of the model).
    """
    scores = scoring([_tensor(each) for each in image.logits])
    thresholds = (limits.score_thresh, limits.nms_thresh, limits.topk)
    (found,), _ = fast_rcnn_inference([_tensor(image.columns["boxes"])], [scores], [image.size], *thresholds)
    return found


def detections_of(image: ImageProposals, scoring: Callable[[list[Tensor]], Tensor], limits: Limits) -> Instances:
    """Select the detections of an image from its stored proposals, with boxes in pixels of the image file.

    Args:
        image: stored boxes and logits of the proposals of the image.
        scoring: function from a list with the logits of each stage to scores, such as a ``Scoring``.
        limits: score threshold, NMS threshold and maximum number of detections.
    """
    return detector_postprocess(selected(image, scoring, limits), *image.output_size)


def all_detections(
    images: Sequence[ImageProposals], scoring: Callable[[list[Tensor]], Tensor], limits: Limits
) -> Detections:
    """Return the detections of all images, with contiguous category indices, selected one image at a time.

    Args:
        images: stored boxes and logits of each image.
        scoring: function from a list with the logits of each stage to scores, such as a ``Scoring``.
        limits: score threshold, NMS threshold and maximum number of detections per image.
    """
    with torch.no_grad():
        found = [Detections.from_instances(detections_of(image, scoring, limits), image.image_id) for image in images]
    return Detections.concatenate(found) if found else Detections.empty(masks=False)


def batch_detections(
    images: Sequence[ImageProposals],
    logits: Sequence[np.ndarray],
    scoring: Callable[[list[Tensor]], Tensor],
    limits: Limits,
) -> Detections:
    """Return the detections of all images, with contiguous category indices, but process many images at once.

    The detections are the same as those of ``all_detections``, which takes more time.

    Args:
        images: stored boxes of each image, P boxes (proposals) in total.
        logits: for each stage, the L logits of each proposal, (P, L). They are used instead of the stored logits.
        scoring: function from a list with the logits of each stage to scores, such as a ``Scoring``.
        limits: score threshold, NMS threshold and maximum number of detections per image.
    """
    counts = [len(image.columns["boxes"]) for image in images]
    ends, fast, parts = np.cumsum(counts), applicable(images), []
    step = max(1, _MOST_LOGITS // max(1, max(counts, default=0) * logits[0].shape[1]))
    for start in range(0, len(images), step):
        some = images[start : start + step]
        rows = slice(ends[start] - counts[start], ends[start + len(some) - 1])
        with torch.no_grad():
            scores = scoring([_tensor(each[rows]) for each in logits])
        if fast:
            parts.append(shared_box_detections(some, scores, limits.score_thresh, limits.nms_thresh, limits.topk))
        else:
            split = iter(scores.split(counts[start : start + step]))
            parts.append(all_detections(some, lambda _, split=split: next(split), limits))
    return Detections.concatenate(parts) if parts else Detections.empty(masks=False)


def _tensor(array: np.ndarray) -> Tensor:
    """Copy an array to a tensor, and convert float16 to float32, the dtype of the model."""
    return torch.from_numpy(np.array(array, np.float32 if array.dtype == np.float16 else array.dtype))
