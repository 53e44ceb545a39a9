"""Compare the outputs of an exported model with the outputs of the original model."""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.errors import OutputError


@dataclass(frozen=True)
class Tolerance:
    """Define the allowed differences between the outputs of an exported model and of the original model.

    Attributes:
        values: allowed difference of scores, mask probabilities and class probabilities.
        boxes: allowed difference of coordinates in pixels, for images of up to 100 pixels. For larger images, the
            allowed difference is proportional to the longer side.
        unmatched: allowed fraction of detections that only one of the models has. NMS, top-k and the score threshold
            compare numbers that differ by rounding. Therefore, a few of many thousand comparisons can differ.
        mean_masks: if True, compare the mean difference over the pixels of each mask. If False, compare the largest
            difference. In half precision, a normalized predictor is inaccurate at pixels whose features are almost 0.
        own: a larger difference is also allowed if it is at most ``own`` times the rounding error of the original
            model. ``compare`` estimates the rounding error.
    """

    values: float = 1e-4
    boxes: float = 1e-4
    unmatched: float = 0.01
    mean_masks: bool = False
    own: float = 3.0


UNMATCHED = "unmatched detections"
_SAME_BOX = 1.0  # two boxes match only if their coordinates differ by at most this number of pixels


def difference(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray], *, mean_masks: bool = False
) -> dict[str, float]:
    """Return the largest absolute difference of each output and, for a detector, the number of unmatched detections.

    Detections with equal scores can have any order. Therefore, this function compares each detection of one model with
    the nearest detection of the other model (see ``match``).

    Args:
        expected: outputs of the original model, a dict from name to array.
        found: outputs of the exported model, with the same names.
        mean_masks: if True, compare the mean difference over the pixels of each mask. If False, compare the largest
            difference.

    Returns:
        a dict from the name of an output to the difference, and from "unmatched detections" to the number of detections
        that only one of the models has.
    """
    result = {}
    if "classes" in expected:
        pairs = match(expected, found)
        result[UNMATCHED] = float(len(expected["classes"]) + len(found["classes"]) - 2 * len(pairs))
        first, second = pairs.T
        expected = {name: values[first] for name, values in expected.items()}
        found = {name: values[second] for name, values in found.items()}
    axes = {"masks": (1, 2)} if mean_masks else {}
    return {name: _largest(values, found[name], axes.get(name, ())) for name, values in expected.items()} | result


def match(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> np.ndarray:
    """Return the pairs of matching detections of the original and the exported model.

    Each detection in ``expected`` matches the nearest unmatched detection of the same class in ``found``, if the boxes
    differ by at most one pixel.

    Args:
        expected: outputs of the original model, with the arrays "boxes", "classes" and "scores".
        found: outputs of the exported model, with the same arrays.

    Returns:
        int64 (number of pairs, 2): index of a detection in ``expected``, and index of its match in ``found``.
    """
    pairs = []
    free = np.ones(len(found["classes"]), dtype=bool)
    for index, category in enumerate(expected["classes"]):
        boxes = np.abs(found["boxes"] - expected["boxes"][index]).max(axis=1)
        possible = free & (found["classes"] == category) & (boxes <= _SAME_BOX)
        if possible.any():
            distance = boxes + np.abs(found["scores"] - expected["scores"][index])
            other = int(np.where(possible, distance, np.inf).argmin())
            free[other] = False
            pairs.append((index, other))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def compare(exported, images, expected, again, tolerance: Tolerance = Tolerance()) -> dict[str, float]:
    """Compare an exported model with the original model. Return the largest ``difference`` over all images.

    Args:
        exported: callable that maps an image to the outputs of the exported model.
        images: images, each uint8 (3, height, width).
        expected: outputs of the original model for each image.
        again: outputs of the original model with different rounding, for each image. The difference between ``again``
            and ``expected`` is an estimate of the original model's rounding error. The rounding error grows with the
            depth of the model and the size of the weights.
        tolerance: allowed differences.

    Raises:
        OutputError: a difference is too large.
    """
    largest: dict[str, float] = {}
    for image, outputs, others in zip(images, expected, again, strict=True):
        own = difference(outputs, others, mean_masks=tolerance.mean_masks)
        for name, value in difference(outputs, exported(image), mean_masks=tolerance.mean_masks).items():
            limit = max(_limit(name, image, outputs, tolerance), tolerance.own * own[name])
            if not value <= limit:
                raise OutputError(
                    f"exported model: {name}: expected a difference of at most {limit:g} from the original model, "
                    f"found {value:g} in an image of {image.shape[1]} x {image.shape[2]} pixels. No file was written."
                )
            largest[name] = max(value, largest.get(name, 0.0))
    return largest


def _limit(name: str, image: np.ndarray, outputs: dict[str, np.ndarray], tolerance: Tolerance) -> float:
    if name == UNMATCHED:
        return float(int(tolerance.unmatched * len(outputs["classes"])))
    if name == "boxes":  # the rounding error of float32 grows with the coordinates
        return tolerance.boxes * max(1.0, max(image.shape[1:]) / 100)
    return tolerance.values


def _largest(expected: np.ndarray, found: np.ndarray, averaged: tuple[int, ...]) -> float:
    if expected.shape != found.shape:
        return float("inf")
    return float(np.abs(expected.astype(np.float64) - found).mean(axis=averaged).max(initial=0.0))
