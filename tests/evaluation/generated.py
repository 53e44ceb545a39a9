"""Generate random ground truth and results with special cases of evaluation."""

import random

import numpy as np
from lvis import LVIS
from pycocotools import mask as mask_utils

from seesaw_d2.evaluation.ground_truth import GroundTruth

SIDE = 100


def rle(x: float, y: float, w: float, h: float) -> dict:
    plane = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
    plane[int(y) : int(y + h), int(x) : int(x + w)] = 1
    encoded = mask_utils.encode(plane)
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def generate(seed: int, num_images: int = 25, crowded: bool = False) -> tuple[LVIS, list[dict]]:
    """Generate ground truth and results.

    The data has equal scores, ignored and empty objects, empty masks, neg and not_exhaustive categories, images without
    objects or detections, and unordered ids. If ``crowded``, some images have more than 300 detections.
    """
    rng = random.Random(seed)
    ids = [3 * index + 2 for index in range(6)]
    categories = [{"id": key, "name": str(key), "frequency": "rcf"[key % 4 % 3]} for key in ids]
    images, annotations, results = [], [], []
    for index in range(num_images):
        image = {"id": 1000 - 7 * index, "height": SIDE, "width": SIDE}
        image["neg_category_ids"], image["not_exhaustive_category_ids"] = rng.sample(ids, 2), rng.sample(ids, 1)
        images.append(image)
        for _ in range(rng.randint(0, 8)):
            box = [rng.randint(0, 60), rng.randint(0, 60), rng.randint(0, 40), rng.randint(1, 40)]
            item = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": rng.choice(ids), "bbox": box}
            item |= {"area": float(box[2] * box[3]), "segmentation": rle(*box), "ignore": int(rng.random() < 0.15)}
            annotations.append(item)
            for _ in range(rng.choice([0, 1, 2, 150 if crowded else 8])):
                shift = rng.choice([0, 1, 5])
                moved = [max(0, value + rng.randint(-shift, shift)) for value in box]
                category = item["category_id"] if rng.random() < 0.7 else rng.choice(ids)
                score = rng.choice([0.1, 0.2, 0.5, 0.9])
                results.append({"image_id": image["id"], "category_id": category, "score": score})
                results[-1] |= {"bbox": moved, "segmentation": rle(*moved)}
    rng.shuffle(results)
    data = {"images": images, "categories": categories, "annotations": annotations}
    return GroundTruth.from_data(data), results


def perturbed(ground_truth: LVIS, seed: int, copies: int = 4) -> list[dict]:
    """Return detections made from annotations: moved, cropped, duplicated, some of a wrong category."""
    rng = random.Random(seed)
    results, ids = [], sorted(ground_truth.cats)
    for item in ground_truth.dataset["annotations"]:
        mask = ground_truth.ann_to_rle(item)
        for _ in range(rng.randint(0, copies)):
            shift = rng.choice([0.0, 1.0, 4.0, 20.0])
            x, y, w, h = (value + rng.uniform(-shift, shift) for value in item["bbox"])
            category = item["category_id"] if rng.random() < 0.8 else rng.choice(ids)
            result = {"image_id": item["image_id"], "category_id": category, "score": round(rng.random(), 2)}
            result["bbox"] = [x, y, max(w, 1.0), max(h, 1.0)]
            plane = np.zeros(mask["size"], dtype=np.uint8, order="F")
            plane[max(0, int(y)) : max(0, int(y + h)), max(0, int(x)) : max(0, int(x + w))] = 1
            cut = mask_utils.merge([mask, mask_utils.encode(plane)], intersect=True)
            result["segmentation"] = {"size": list(mask["size"]), "counts": cut["counts"].decode()}
            results.append(result)
    rng.shuffle(results)
    return results
