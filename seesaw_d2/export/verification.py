"""Compare the outputs of an exported model with the model's.

Shapes: N detections, M x M mask pixels, H x W image pixels.
"""

from dataclasses import dataclass

import numpy as np

from seesaw_d2.errors import OutputError


@dataclass(frozen=True)
class Tolerance:
    """Allowed differences between the outputs of an exported model and those of the original model."""

    values: float = 1e-4  # scores, masks, probabilities
    boxes: float = 1e-4  # pixels, for images of up to 100 pixels; grows with the image
    # Fraction of detections that only one model has. NMS, top-k and the score threshold compare numbers that differ in
    # their last digits, so a few of many thousand decisions can change.
    unmatched: float = 0.01
    # Compare the mean over a mask's pixels instead of the maximum. A normalized predictor uses the direction of
    # features even if they are almost zero, where half precision is inaccurate.
    mean_masks: bool = False
    # Also allow this multiple of the change of the model's outputs when sums are computed in another order; see
    # ``compare``.
    own: float = 3.0


UNMATCHED = "unmatched detections"
_SAME_BOX = 1.0  # pixels; the largest distance of matching boxes


def difference(
    expected: dict[str, np.ndarray], found: dict[str, np.ndarray], *, mean_masks: bool = False
) -> dict[str, float]:
    """Return the largest absolute difference of each output and, for a detector, the number of unmatched detections.

    Each detection is compared with the nearest one of the same class, because equal scores can come in any order.

    Args:
        expected: the model's outputs.
        found: the exported model's outputs.
        mean_masks: average the differences over the pixels of each mask, and return the largest average.
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
    """Return (P, 2) int64, indices of matching detections: the same class, and boxes within a pixel."""
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
    """Compare an exported model with the model, and return the largest ``difference`` over all images.

    Args:
        exported: callable that maps an image to outputs.
        images: (3, H, W) uint8 each.
        expected: the model's outputs for each image.
        again: the model's outputs when sums are computed in another order. Because deep models and large weights
            amplify rounding errors, ``tolerance.own`` times the difference to ``expected`` is also allowed.
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
                    f"the exported model differs from the original: {name}: expected a difference of at most "
                    f"{limit:g}, found {value:g} (image height {image.shape[1]}, width {image.shape[2]}); "
                    "nothing was written"
                )
            largest[name] = max(value, largest.get(name, 0.0))
    return largest


def _limit(name: str, image: np.ndarray, outputs: dict[str, np.ndarray], tolerance: Tolerance) -> float:
    if name == UNMATCHED:
        return float(int(tolerance.unmatched * len(outputs["classes"])))
    if name == "boxes":  # float32 has 7 significant digits
        return tolerance.boxes * max(1.0, max(image.shape[1:]) / 100)
    return tolerance.values


def _largest(expected: np.ndarray, found: np.ndarray, averaged: tuple[int, ...]) -> float:
    if expected.shape != found.shape:
        return float("inf")
    return float(np.abs(expected.astype(np.float64) - found).mean(axis=averaged).max(initial=0.0))
