"""Find out which category a model predicts for each ground-truth object, from its detections."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from lvis import LVIS

from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.overlaps import overlaps

# A detection is a prediction for an object only if its IoU with the object and its score are at least these values.
MIN_IOU, MIN_SCORE = 0.5, 0.05


@dataclass(frozen=True, eq=False)
class Outcome:
    """Store the predicted category of each of G ground-truth objects.

    The prediction for an object is the detection with the highest score that overlaps the object (see ``outcomes``).

    Attributes:
        image_ids, labels: (G,) image id and true category id of each object.
        answers: (G,) predicted category id of each object, or -1 for an object without a prediction.
        scores: (G,) score of the prediction, or 0 for an object without a prediction.
        answered: (G,) bool, True if the object has a prediction.
        boxes: (G, 4) boxes of the objects, x, y, width, height in pixels.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    answers: np.ndarray
    scores: np.ndarray
    answered: np.ndarray
    boxes: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Return a bool array with True for each object whose predicted category is its true category."""
        return self.answered & (self.answers == self.labels)

    def groups(self, members: dict[str, set[int]]) -> dict[str, dict[str, Any]]:
        """Summarize the predictions for the objects of each frequency group.

        Args:
            members: dict from a frequency group ("r", "c" or "f") to the ids of its categories.

        Returns:
            a dict from a group to a dict with these keys:

            - "objects": number of objects.
            - "right": percentage of objects with a correct prediction. None if the group has no objects.
            - "wrong": percentage of objects with a wrong prediction, or None.
            - "none": percentage of objects without a prediction, or None.
            - "histogram": number of correct predictions in each of 10 equal bins of the score from 0 to 1.
        """
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
        """Return the pairs of categories that the model confuses most often.

        Args:
            category_ids: return only pairs whose true category is in this set.
            limit: maximum number of pairs.

        Returns:
            tuples (true category id, predicted category id, number of confused objects, number of all objects of the
            true category), in descending order of the number of confused objects.
        """
        wrong = self.answered & ~self.right & np.isin(self.labels, list(category_ids))
        pairs, counts = np.unique(
            np.stack([self.labels[wrong], self.answers[wrong]], axis=1), axis=0, return_counts=True
        )
        order = np.argsort(-counts, kind="stable")[:limit]
        return [
            (int(pairs[i, 0]), int(pairs[i, 1]), int(counts[i]), int((self.labels == pairs[i, 0]).sum())) for i in order
        ]


def outcomes(ground_truth: LVIS, detections: Detections) -> Outcome:
    """Find the predicted category of each ground-truth object.

    The prediction for an object is the detection with the highest score, of any category, that overlaps the object with
    an IoU of at least 0.5. This function ignores detections with scores below 0.05. One detection may be the prediction
    for several objects, unlike in the computation of AP. The result shows which categories a model confuses, but not
    how well the model ranks detections.
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
