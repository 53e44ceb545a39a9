"""Predicted category of each object, from the detections of any model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from lvis import LVIS

from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.overlaps import overlaps

# Minimum IoU and score of a detection that is a prediction for an object.
MIN_IOU, MIN_SCORE = 0.5, 0.05


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions for G objects.

    Attributes:
        image_ids, labels: (G,) image and true category of the object.
        answers: (G,) predicted category, or -1 without a prediction.
        scores: (G,) score of the prediction, or 0 without one.
        answered: (G,) bool, True if there is a prediction.
        boxes: (G, 4) xywh box of the object in pixels.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    answers: np.ndarray
    scores: np.ndarray
    answered: np.ndarray
    boxes: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Return a bool array (G,), True where the predicted category is the true one."""
        return self.answered & (self.answers == self.labels)

    def groups(self, members: dict[str, set[int]]) -> dict[str, dict[str, Any]]:
        """Return the number of objects of each group, and the percentages right, wrong and not found."""
        found = {}
        for name, ids in members.items():
            mask = np.isin(self.labels, list(ids))
            right, none = self.right[mask], ~self.answered[mask]
            share = [100 * float(v.mean()) if mask.any() else None for v in (right, ~right & ~none, none)]
            scores = self.scores[mask][right]
            found[name] = {
                "objects": int(mask.sum()),
                **dict(zip(("right", "wrong", "none"), share, strict=True)),
                "histogram": np.histogram(scores, np.linspace(0, 1, 11))[0].tolist(),
            }
        return found

    def confusions(self, category_ids: set[int], limit: int = 15) -> list[tuple[int, int, int, int]]:
        """Return (true, predicted, count, objects of the true category) of some categories, most frequent first."""
        wrong = self.answered & ~self.right & np.isin(self.labels, list(category_ids))
        pairs, counts = np.unique(
            np.stack([self.labels[wrong], self.answers[wrong]], axis=1), axis=0, return_counts=True
        )
        order = np.argsort(-counts, kind="stable")[:limit]
        return [
            (int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i]), int((self.labels == pairs[i, 0]).sum())) for i in order
        ]


def outcomes(ground_truth: LVIS, detections: Detections) -> Outcome:
    """Find the prediction for each object: the detection of any category with IoU >= 0.5 and the highest score.

    Detections with a score below 0.05 are ignored. Unlike in AP, a detection may be the prediction for several objects,
    and ranks do not matter. The result shows which categories a model confuses, not how well it ranks detections.
    """
    kept = detections[detections.scores >= MIN_SCORE]
    columns: list[list] = [[], [], [], [], [], []]
    for image_id, all_objects, mine, iou in overlaps(ground_truth, kept):
        counted = [index for index, item in enumerate(all_objects) if not item.get("ignore", 0)]
        objects = [all_objects[index] for index in counted]
        answers, scores = np.full(len(objects), -1), np.full(len(objects), -1.0)
        if len(objects) and len(mine):
            candidates = np.where(iou[:, counted] >= MIN_IOU, kept.scores[mine][:, None], -1)
            best = candidates.argmax(axis=0)
            scores = candidates[best, np.arange(len(objects))]
            answers = np.where(scores >= 0, kept.category_ids[mine][best], -1)
        columns[0] += [image_id] * len(objects)
        columns[1] += [a["category_id"] for a in objects]
        columns[2] += answers.tolist()
        columns[3] += np.maximum(scores, 0).tolist()
        columns[4] += (scores >= 0).tolist()
        columns[5] += [a["bbox"] for a in objects]
    types = (np.int64, np.int64, np.int64, np.float64, bool, np.float64)
    return Outcome(*(np.array(values, dtype=kind) for values, kind in zip(columns, types, strict=True)))
