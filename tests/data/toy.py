"""Create a small valid dataset on disk. Tests change its files."""

import json
from pathlib import Path

import numpy as np
from detectron2.config import get_cfg
from PIL import Image
from pycocotools import mask as mask_utils

from seesaw_d2.config import add_seesaw_config

WIDTH, HEIGHT = 60, 40


def square(x: float, y: float, size: float) -> dict:
    polygon = [x, y, x + size, y, x + size, y + size, x, y + size]
    return {"bbox": [x, y, size, size], "segmentation": [polygon], "area": size * size}


def toy_data(num_images: int = 4) -> dict:
    """Return COCO data with the categories 7 and 3. Each image has one object of each. The first has another 3."""
    images = [
        {"id": 10 + index, "file_name": f"{index}.jpg", "height": HEIGHT, "width": WIDTH} for index in range(num_images)
    ]
    annotations = [
        {
            "id": 100 + 2 * index + k,
            "image_id": 10 + index,
            "category_id": (3, 7)[k],
            **square(5 + 20 * k, 5, 15),
        }
        for index in range(num_images)
        for k in range(2)
    ]
    annotations.append({"id": 99, "image_id": 10, "category_id": 3, **square(42, 20, 12)})
    categories = [{"id": 7, "name": "seven"}, {"id": 3, "name": "three"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def everything() -> dict:
    """Return COCO data with all kinds of objects: polygons, both kinds of run lengths, no mask, a crowd, no area."""
    data = toy_data()
    data["images"].reverse()
    runs = {"size": [40, 60], "counts": [100, 20, 2280]}
    text = {"size": [40, 60], "counts": mask_utils.frPyObjects(runs, 40, 60)["counts"].decode()}
    others = [
        {"segmentation": runs, "iscrowd": 1},
        {"segmentation": text, "iscrowd": 0},
        {"segmentation": [*square(1, 1, 5)["segmentation"], *square(9, 9, 5)["segmentation"]]},
        {"segmentation": []},
        {"segmentation": None},
        {"bbox": [1, 1, 0, 5]},
        {"bbox": [61, 1, 5, 5], "segmentation": square(61, 1, 5)["segmentation"]},
        {"bbox": [0.1, 1 / 3, 5, 7.25]},
    ]
    for number, other in enumerate(others):
        data["annotations"].append({"id": 500 + number, "image_id": 12, "category_id": 7, **square(3, 3, 9), **other})
    return data


def write(folder: Path, data, name: str = "toy.json") -> str:
    path = folder / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return str(path)


def write_images(folder: Path, data: dict) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for image in data["images"]:
        pixels = rng.integers(0, 255, (image["height"], image["width"], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / image["file_name"])
    return str(folder)


def entry(name: str, json_file, images, dataset_format: str = "auto") -> dict:
    return {"NAME": name, "JSON": str(json_file), "IMAGES": str(images), "FORMAT": dataset_format}


def make_cfg(*entries: dict, train=(), test=(), **options):
    """Return a config with the given options, such as ``SOLVER__IMS_PER_BATCH=2``. Tests register the entries later."""
    cfg = get_cfg()
    add_seesaw_config(cfg)
    cfg.DATASETS.REGISTER = list(entries)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = tuple(train), tuple(test)
    cfg.MODEL.DEVICE, cfg.MODEL.MASK_ON = "cpu", True
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.IMS_PER_BATCH = 0, 2
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST, cfg.TEST.DETECTIONS_PER_IMAGE = (40,), 40, 300
    for key, value in options.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg
