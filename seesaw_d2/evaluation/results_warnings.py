"""Warn about valid results files whose content is probably not what the user intended."""

import logging

import numpy as np
from lvis import LVIS

from seesaw_d2.data.boxes_and_masks.box_readings import Objects, corners_of, count_readings
from seesaw_d2.data.boxes_and_masks.mask_extents import run_length_extents
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.utils.messages import warn_once

logger = logging.getLogger(__name__)

# Only the boxes of this number of detections with the highest scores are checked, to save time.
SAMPLE = 1000
_NEEDED = "Convert the boxes to x, y, width, height in pixels, which box AP requires"


def warn_of_results(detections: Detections, ground_truth: LVIS, source: str) -> None:
    """Log warnings about repeated detections, scores outside [0, 1], and boxes that are not x, y, width, height.

    Args:
        detections: the detections in a results file.
        ground_truth: ground truth with the images of the detections.
        source: path of the results file.
    """
    if len(detections):
        for text in (_repeated(detections), _scores(detections.scores), _boxes(detections, ground_truth)):
            if text:
                warn_once(logger, f"{source}: {text}")


def _repeated(detections: Detections) -> str:
    columns = [detections.image_ids, detections.category_ids, detections.scores.view(np.int64)]
    if detections.boxes is not None:
        columns += list(np.ascontiguousarray(detections.boxes.T).view(np.int64))
    else:
        columns.append(np.fromiter(map(hash, detections.counts), np.int64, len(detections)))
    keys = np.zeros(len(detections), np.uint64)
    # Compute a hash of each detection. Comparing hashes is faster than comparing the fields one by one.
    for column in columns:
        keys = (keys ^ (keys >> np.uint64(29)) ^ column.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    count = len(keys) - len(np.unique(keys))
    if not count:
        return ""
    return (
        f"{count} of {len(keys)} detections repeat an earlier detection with the same image, category, score and "
        f"{'box' if detections.boxes is not None else 'mask'}. AP counts each repetition as a false positive"
    )


def _scores(scores: np.ndarray) -> str:
    count = int(((scores < 0) | (scores > 1)).sum())
    if not count:
        return ""
    return (
        f"{count} of {len(scores)} scores are outside [0, 1]. The scores range from {scores.min():g} to "
        f"{scores.max():g}. AP uses only the order of the scores, but score thresholds require probabilities"
    )


def _boxes(detections: Detections, ground_truth: LVIS) -> str:
    if detections.boxes is None:
        return ""
    part = detections[np.argsort(-detections.scores, kind="stable")[:SAMPLE]]
    images = [ground_truth.imgs[key] for key in part.image_ids.tolist()]
    frames = np.array([[image["width"], image["height"]] * 2 for image in images], dtype=np.float64)
    return _beside_masks(part, frames) if part.has_masks else _within_images(part.boxes, frames)


def _beside_masks(part: Detections, frames: np.ndarray) -> str:
    """Return a warning if most boxes fit their masks in another convention, such as x1, y1, x2, y2.

    Return "" if no warning is necessary.

    Args:
        part: detections with boxes and masks.
        frames: width, height, width, height of the image of each detection.
    """
    objects = Objects(part.boxes, run_length_extents(part.rles()), frames)
    objects = objects.take(np.flatnonzero((objects.extents[:, 2:] > objects.extents[:, :2]).all(axis=1)))
    fitting = int(objects.agree(corners_of(objects.boxes)).sum())
    readings = {name: n for name, n in count_readings(objects).items() if name.startswith("if they are read as")}
    name, count = max(readings.items(), key=lambda item: item[1])
    if 2 * count <= len(objects.boxes) or count <= 2 * fitting:
        return ""
    return (
        f"{fitting} of {len(objects.boxes)} boxes with the highest scores fit their masks as x, y, width, height, but "
        f"{count} boxes fit {name}. {_NEEDED}"
    )


def _within_images(boxes: np.ndarray, frames: np.ndarray) -> str:
    """Return a warning if at least 10 % of the boxes do not fit their images as x, y, width, height in pixels.

    Return "" if no warning is necessary.

    Args:
        boxes: (N, 4), boxes of N detections.
        frames: (N, 4), width, height, width, height of the image of each detection.
    """
    corners = corners_of(boxes)
    centers = (corners[:, :2] + corners[:, 2:]) / 2
    fractions = (boxes >= -0.1).all(axis=1) & (boxes <= 1.1).all(axis=1) & (frames[:, :2] > 10).all(axis=1)
    fitting = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (boxes <= frames + 2).all(axis=1)
    inside_as_corners = fitting.mean() >= 0.99
    problems = {
        "have a width or height that is not positive": (boxes[:, 2:] <= 0).any(axis=1),
        "contain only numbers from 0 to 1, as if they were fractions of the image size": fractions,
        "are partly outside their images as x, y, width, height, but inside as x1, y1, x2, y2": (
            inside_as_corners & (corners > frames + 2).any(axis=1)
        ),
        "have their centers outside their images": ((centers < -2) | (centers > frames[:, :2] + 2)).any(axis=1),
    }
    for text, wrong in problems.items():
        if 10 * (count := int(wrong.sum())) >= len(boxes):
            return f"{count} of {len(boxes)} boxes with the highest scores {text}. {_NEEDED}"
    return ""
