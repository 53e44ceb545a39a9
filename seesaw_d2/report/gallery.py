"""Images for the page: small JPEGs, with the objects and each run's detections as boxes beside them."""

import base64
import io
from typing import Any

import numpy as np
from detectron2.data.detection_utils import read_image
from lvis import LVIS
from PIL import Image

from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.frequency_groups import GROUP_LETTERS
from seesaw_d2.report.match_analysis import Outcome

# Pixels of the longer side: 1,000 such JPEGs take some 12 MB.
SIDE, QUALITY = 320, 60
MIN_SCORE = 0.3
_MOST_DETECTIONS = 30


def choose_images(outcomes: list[Outcome], rare: dict[str, set[int]], limit: int) -> list[int]:
    """Image ids: those where runs failed on objects of rare categories first, then of common, then the others."""
    weight: dict[int, float] = {}
    for outcome in outcomes:
        failed = ~outcome.right
        for letter, value in zip(GROUP_LETTERS, (1e6, 1e3, 1.0), strict=True):
            here = failed & np.isin(outcome.labels, list(rare[letter]))
            for image in outcome.image_ids[here].tolist():
                weight[image] = weight.get(image, 0) + value
        for image in np.unique(outcome.image_ids).tolist():
            weight.setdefault(image, 0)
    return sorted(weight, key=lambda image: (-weight[image], image))[:limit]


def gallery_entry(
    image_id: int, file_name: str, ground_truth: LVIS, runs: list[tuple[Detections, Outcome]]
) -> dict[str, Any] | None:
    """One picture; None where the image file cannot be read."""
    try:
        pixels = read_image(file_name, "RGB")
    except Exception:  # whatever the decoder stumbles over: the page goes on without this picture
        return None
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    objects = [a for a in ground_truth.img_ann_map.get(image_id, ()) if not a.get("ignore", 0)]
    names = {key: category["name"] for key, category in ground_truth.cats.items()}
    letters = {key: category["frequency"] for key, category in ground_truth.cats.items()}
    truths = [
        {"box": _round(a["bbox"]), "name": names[a["category_id"]], "group": letters[a["category_id"]]} for a in objects
    ]
    shown = []
    for detections, outcome in runs:
        mine = np.flatnonzero((detections.image_ids == image_id) & (detections.scores >= MIN_SCORE))
        mine = mine[np.argsort(-detections.scores[mine], kind="stable")][:_MOST_DETECTIONS]
        present = {a["category_id"] for a in objects}
        found = [
            {
                "box": _round(detections.boxes[i].tolist()),
                "name": names[int(detections.category_ids[i])],
                "group": letters[int(detections.category_ids[i])],
                "score": round(float(detections.scores[i]), 2),
                "false": int(detections.category_ids[i]) not in present,
            }
            for i in mine
        ]
        here = outcome.image_ids == image_id
        missed = [names[label] for label in outcome.labels[here & ~outcome.right].tolist()]
        shown.append({"detections": found, "missed": missed})
    return {
        "id": image_id,
        "width": width,
        "height": height,
        "jpeg": base64.b64encode(buffer.getvalue()).decode(),
        "truths": truths,
        "runs": shown,
        "groups": "".join(sorted({t["group"] for t in truths})),
    }


def _round(box: list[float]) -> list[float]:
    return [round(value, 1) for value in box]
