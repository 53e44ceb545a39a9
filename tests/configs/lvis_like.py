"""Create a dataset of a few small images with the schema and the number of categories of LVIS."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 96, 64
# One category occurs in every image, and each other category occurs in one image.
NUM_IMAGES, OBJECTS_PER_IMAGE = 4, 5


def make_lvis_like(root: Path, num_classes: int) -> Path:
    """Write ``lvis.json`` and ``images/train2017/*.jpg`` below ``root``. Return ``root``."""
    rng = np.random.default_rng(num_classes)
    rare = rng.permutation(np.arange(2, num_classes + 1)).tolist()
    images, annotations = [], []
    (root / "images/train2017").mkdir(parents=True)
    for index in range(NUM_IMAGES):
        name = f"{index + 1:012}.jpg"
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images/train2017" / name)
        images.append(
            {
                "id": index + 1,
                "width": WIDTH,
                "height": HEIGHT,
                "coco_url": f"http://images.cocodataset.org/train2017/{name}",
                "neg_category_ids": [rare.pop()],
                "not_exhaustive_category_ids": [],
            }
        )
        for number in range(OBJECTS_PER_IMAGE):
            x, y, size = (int(v) for v in rng.integers((0, 0, 16), (48, 24, 40)))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": rare.pop() if number else 1,
                    "bbox": [x, y, size, size],
                    "area": size * size,
                    "segmentation": [[x, y, x + size, y, x + size, y + size, x, y + size]],
                }
            )
    counts = np.bincount([item["category_id"] for item in annotations], minlength=num_classes + 1).tolist()
    categories = [
        {
            "id": number,
            "name": f"category_{number}",
            "synset": f"category_{number}.n.01",
            "synonyms": [f"category_{number}"],
            "def": "",
            "image_count": counts[number],
            "instance_count": counts[number],
            "frequency": "r",
        }
        for number in range(1, num_classes + 1)
    ]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (root / "lvis.json").write_text(json.dumps(data))
    return root
