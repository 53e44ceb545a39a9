"""Generate a long-tailed dataset of colored shapes, and register it in Detectron2."""

import json
from pathlib import Path

import cv2
import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

CATEGORIES = ("square", "triangle", "diamond")
# Probability of each category in each split.
SHARES = {"train": (0.8, 0.15, 0.05), "val": (1 / 3, 1 / 3, 1 / 3)}
SIZE = 96


def register_shapes(folder: Path, num_images: dict[str, int]) -> None:
    """Generate the images, and register ``shapes_train`` and ``shapes_val``."""
    for split, count in num_images.items():
        draw(folder / split, count, SHARES[split], seed=len(split))
        name = f"shapes_{split}"
        DatasetCatalog.register(name, lambda split=split: load(folder / split))
        # The evaluator of seesaw_d2 reads the ground truth from json_file. dataset_format is the format of this file.
        MetadataCatalog.get(name).set(
            thing_classes=list(CATEGORIES),
            thing_dataset_id_to_contiguous_id={number + 1: number for number in range(len(CATEGORIES))},
            json_file=str(folder / split / "annotations.json"),
            image_root=str(folder / split),
            dataset_format="coco",
        )


def draw(folder: Path, count: int, shares, seed: int) -> None:
    """Write images with one or two shapes each, and their annotations in COCO format, to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for number in range(1, count + 1):
        image = rng.integers(0, 60, (SIZE, SIZE, 3), dtype=np.uint8)
        for corner in rng.permutation([(8, 8), (8, 52), (52, 8), (52, 52)])[: rng.integers(1, 3)]:
            category = int(rng.choice(len(CATEGORIES), p=shares))
            polygon = outline(category, corner, int(rng.integers(20, 36)))
            cv2.fillPoly(image, [polygon], rng.integers(120, 255, 3).tolist())
            (x, y), (right, bottom) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category + 1,
                    "bbox": [x, y, right - x, bottom - y],
                    "area": cv2.contourArea(polygon),
                    "segmentation": [polygon.ravel().tolist()],
                    "iscrowd": 0,
                }
            )
        cv2.imwrite(str(folder / f"{number}.png"), image)
        images.append({"id": number, "file_name": f"{number}.png", "height": SIZE, "width": SIZE})
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(CATEGORIES)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(data))


def outline(category: int, corner, size: int) -> np.ndarray:
    """Return the vertices of a shape, int32 (number of vertices, 2).

    Args:
        category: index of the category in ``CATEGORIES``.
        corner: upper left corner of the bounding box, (x, y) in pixels.
        size: side length of the bounding box in pixels.
    """
    unit = {
        "square": [(0, 0), (1, 0), (1, 1), (0, 1)],
        "triangle": [(0.5, 0), (1, 1), (0, 1)],
        "diamond": [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)],
    }
    return (np.array(unit[CATEGORIES[category]]) * size + corner).astype(np.int32)


def load(folder: Path) -> list[dict]:
    """Return the dataset in ``folder`` as Detectron2's dataset dicts."""
    data = json.loads((folder / "annotations.json").read_text())
    records = {
        image["id"]: {
            **image,
            "image_id": image["id"],
            "file_name": str(folder / image["file_name"]),
            "annotations": [],
        }
        for image in data["images"]
    }
    for item in data["annotations"]:
        found = {**item, "bbox_mode": BoxMode.XYWH_ABS, "category_id": item["category_id"] - 1}
        records[item["image_id"]]["annotations"].append(found)
    return list(records.values())
