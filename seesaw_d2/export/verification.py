"""Whether an exported model says what the model says.

N detections, M x M mask pixels.
"""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.errors import OutputError


@dataclass(frozen=True)
class Tolerance:
    """How far an exported model may be from the model."""

    values: float = 1e-4  # scores, masks, probabilities
    boxes: float = 1e-4  # pixels, of a side of 100 or less
    # Those that only one of the two has, of the model's detections. NMS, top-k and the score threshold decide by
    # numbers that differ in their last digits: of many thousand decisions one may fall the other way, and a detection
    # of low score is there or not.
    unmatched: float = 0.01
    # Of a mask the mean of its pixels, not the largest: a normalized predictor takes the direction of features even
    # where they are almost zero, and half precision leaves little of it there.
    mean_masks: bool = False
    # How many times what the model itself differs by, computed in another way, is allowed too, see ``compare``.
    own: float = 3.0


UNMATCHED = "unmatched detections"
_SAME_BOX = 1.0  # pixels: farther apart are two detections


def difference(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray], *, mean_masks: bool = False
) -> dict[str, float]:
    """The largest absolute difference of each output, and for a detector how many detections only one of the two has.

    Detections are compared with their nearest of the same class: two of the same score may come in any order.

    Args:
        mean_masks: of each mask the mean over its pixels, and the largest of these.
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
    """(P, 2) int: the indices of detections that are the same one: of one class, their boxes within a pixel."""
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
    """``difference`` of an exported model's outputs and those of the model, the largest over all images.

    Args:
        exported: called with an image.
        images: (3, H, W) uint8 each.
        expected: the model's outputs for each.
        again: the same with its sums in another order. What a model, deep or with large weights, makes of float32's
            last digit is no difference between two models: up to ``tolerance.own`` times what these differ by is
            allowed too.
        tolerance: what differs by less is the same model in any case.

    Raises:
        OutputError: one is larger than it may be.
    """
    largest: dict[str, float] = {}
    for image, outputs, others in zip(images, expected, again, strict=True):
        own = difference(outputs, others, mean_masks=tolerance.mean_masks)
        for name, value in difference(outputs, exported(image), mean_masks=tolerance.mean_masks).items():
            limit = max(_limit(name, image, outputs, tolerance), tolerance.own * own[name])
            if not value <= limit:
                raise OutputError(
                    f"the exported model is another one: expected {name} within {limit:g} of the model's on an image "
                    f"of {image.shape[1]} x {image.shape[2]} pixels, found {value:g}; nothing was written"
                )
            largest[name] = max(value, largest.get(name, 0.0))
    return largest


def _limit(name: str, image: np.ndarray, outputs: dict[str, np.ndarray], tolerance: Tolerance) -> float:
    if name == UNMATCHED:
        return float(int(tolerance.unmatched * len(outputs["classes"])))
    if name == "boxes":  # float32 has 7 digits, for those before the point too
        return tolerance.boxes * max(1.0, max(image.shape[1:]) / 100)
    return tolerance.values


def _largest(expected: np.ndarray, found: np.ndarray, averaged: tuple[int, ...]) -> float:
    if expected.shape != found.shape:
        return float("inf")
    return float(np.abs(expected.astype(np.float64) - found).mean(axis=averaged).max(initial=0.0))
