"""Whether an exported model says what the model says.

N detections, M x M mask pixels.
"""

import numpy as np

TOLERANCE = 1e-4  # of scores and masks, and of boxes in pixels of a side of 100 or less


def difference(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest absolute difference of each output; infinite where the detections are others.

    Detections are compared with their nearest of the same class: two of the same score may come in any order.
    """
    if "classes" in expected:
        order = match(expected, found)
        if order is None:
            return dict.fromkeys(expected, float("inf"))
        found = {name: values[order] for name, values in found.items()}
    return {name: _largest(values, found[name]) for name, values in expected.items()}


def match(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> np.ndarray | None:
    """(N,) the index in ``found`` of each detection of ``expected``; None if they do not pair off by class."""
    if sorted(expected["classes"]) != sorted(found["classes"]):
        return None
    order = np.full(len(expected["classes"]), -1)
    free = np.ones(len(order), dtype=bool)
    for index, category in enumerate(expected["classes"]):
        distance = np.abs(found["boxes"] - expected["boxes"][index]).max(axis=1)
        distance = distance + np.abs(found["scores"] - expected["scores"][index])
        order[index] = np.where(free & (found["classes"] == category), distance, np.inf).argmin()
        free[order[index]] = False
    return order


def tolerance_of(name: str, image: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """How far an output may be off for an image (3, H, W): float32 has 7 digits, for pixels before the point too."""
    return tolerance * max(1.0, max(image.shape[1:]) / 100) if name == "boxes" else tolerance


def _largest(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape:
        return float("inf")
    return float(np.abs(expected.astype(np.float64) - found).max(initial=0.0))
