"""Build the gallery of the detection report: small JPEGs, with the boxes of ground truth and detections."""

import base64
import io
from typing import Any

import numpy as np
from detectron2.data.detection_utils import read_image
from lvis import LVIS
from PIL import Image

from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.frequency_groups import GROUP_LETTERS
from seesaw_d2.report.confusions import Outcome

# The longer side of an image has at most SIDE pixels. With the JPEG quality QUALITY, 1,000 images need about 12 MB.
SIDE, QUALITY = 320, 60
MIN_SCORE = 0.3  # the gallery shows only detections with at least this score
# For each pair of confused categories, the report shows up to _CROPS square crops of objects. A crop is _CONTEXT times
# as large as the longer side of the object's box, and is resized to _CROP_SIDE x _CROP_SIDE pixels.
_CROPS, _CROP_SIDE, _CONTEXT = 3, 44, 1.4
_MOST_DETECTIONS = 30  # the gallery shows at most this number of detections per image and run


def choose_images(outcomes: list[Outcome], members: dict[str, set[int]], limit: int) -> list[int]:
    """Choose the images in which the runs missed or misclassified the most objects.

    Objects of rare categories count most. An object of a frequent category has the weight 1, of a common category
    1,000, and of a rare category 1,000,000.

    Args:
        outcomes: for each run, the predicted categories of all objects.
        members: dict from a frequency group ("r", "c" or "f") to the ids of its categories.
        limit: maximum number of images.

    Returns:
        ids of the images, in descending order of the weighted count.
    """
    weight: dict[int, float] = {}
    for outcome in outcomes:
        failed = ~outcome.right
        for letter, value in zip(GROUP_LETTERS, (1e6, 1e3, 1.0), strict=True):
            here = failed & np.isin(outcome.labels, list(members[letter]))
            for image in outcome.image_ids[here].tolist():
                weight[image] = weight.get(image, 0) + value
        for image in np.unique(outcome.image_ids).tolist():
            weight.setdefault(image, 0)
    return sorted(weight, key=lambda image: (-weight[image], image))[:limit]


def gallery_entry(
    image_id: int, file_name: str, ground_truth: LVIS, runs: list[tuple[Detections, Outcome]]
) -> dict[str, Any] | None:
    """Return the variables of the HTML template for an image and its boxes, or None if the image is unreadable.

    Args:
        image_id: id of the image.
        file_name: path of the image.
        ground_truth: ground truth of the dataset.
        runs: for each run, all its detections, and the predicted categories of all ground-truth objects.
    """
    try:
        pixels = read_image(file_name, "RGB")
    except Exception:  # image decoders raise errors of many types
        return None
    height, width = pixels.shape[:2]
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    objects = [item for item in ground_truth.img_ann_map.get(image_id, ()) if not item.get("ignore", 0)]
    names = {key: category["name"] for key, category in ground_truth.cats.items()}
    letters = {key: category["frequency"] for key, category in ground_truth.cats.items()}
    truths = [_shown(item["bbox"], item["category_id"], names, letters) for item in objects]
    present = {item["category_id"] for item in objects}
    shown = []
    for detections, outcome in runs:
        mine = np.flatnonzero((detections.image_ids == image_id) & (detections.scores >= MIN_SCORE))
        mine = mine[np.argsort(-detections.scores[mine], kind="stable")][:_MOST_DETECTIONS]
        found = []
        for index in mine:
            category, score = int(detections.category_ids[index]), round(float(detections.scores[index]), 2)
            box = _shown(detections.boxes[index].tolist(), category, names, letters)
            found.append({**box, "score": score, "false": category not in present})
        here = outcome.image_ids == image_id
        missed = [names[label] for label in outcome.labels[here & ~outcome.right].tolist()]
        shown.append({"detections": found, "missed": missed})
    return {
        "id": image_id,
        "width": width,
        "height": height,
        "jpeg": _jpeg(image),
        "truths": truths,
        "runs": shown,
        "groups": "".join(sorted({t["group"] for t in truths})),
    }


def confusion_crops(
    outcome: Outcome, pairs: list[tuple[int, int]], files: dict[int, str]
) -> dict[tuple[int, int], list[str]]:
    """Crop up to three confused objects of each pair of confused categories from their images.

    Args:
        outcome: predicted categories of all objects.
        pairs: pairs (true category id, predicted category id).
        files: dict from image id to the path of the image. If the dict is empty, this function returns no crops.

    Returns:
        a dict from a pair to a list of small JPEGs as base64 text.
    """
    chosen = {
        pair: np.flatnonzero((outcome.labels == pair[0]) & (outcome.answers == pair[1]))[:_CROPS].tolist()
        for pair in pairs
    }
    by_image: dict[int, list[int]] = {}
    for index in (one for found in chosen.values() for one in found if files):
        by_image.setdefault(int(outcome.image_ids[index]), []).append(index)
    crops: dict[int, str] = {}
    for image_id, indices in by_image.items():
        try:
            image = Image.fromarray(read_image(files[image_id], "RGB"))
        except Exception:  # image decoders raise errors of many types
            continue
        crops |= {index: _crop(image, outcome.boxes[index].tolist()) for index in indices}
    return {pair: [crops[index] for index in indices if index in crops] for pair, indices in chosen.items()}


def _crop(image: Image.Image, box: list[float]) -> str:
    x, y, width, height = box
    half = max(_CONTEXT * max(width, height) / 2, 1)
    square = [
        round(v) for v in (x + width / 2 - half, y + height / 2 - half, x + width / 2 + half, y + height / 2 + half)
    ]
    return _jpeg(image.crop((square[0], square[1], square[2], square[3])).resize((_CROP_SIDE, _CROP_SIDE)))


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return base64.b64encode(buffer.getvalue()).decode()


def _shown(box: list[float], category: int, names: dict[int, str], letters: dict[int, str]) -> dict[str, Any]:
    return {"box": [round(value, 1) for value in box], "name": names[category], "group": letters[category]}
