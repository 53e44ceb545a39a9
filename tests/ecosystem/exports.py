"""Create exports of photos with annotations as Label Studio, CVAT and Roboflow write them."""

import json
import os
import runpy
from pathlib import Path

from PIL import Image
from pycocotools import mask as mask_utils

from tests.shared import shared_path

ROOT = Path(__file__).parents[2]


def photos():
    """Return the annotations of coco38's training photos in COCO format, and the folder of the images."""
    root = shared_path("data/coco38")
    data = json.loads((root / "lvis_train.json").read_text())
    keep = {
        "images": ("id", "file_name", "height", "width"),
        "annotations": ("id", "image_id", "category_id", "bbox", "segmentation"),
        "categories": ("id", "name"),
    }
    plain = {key: [{field: item[field] for field in fields} for item in data[key]] for key, fields in keep.items()}
    return plain, root / "images/train2017"


def label_studio(folder: Path) -> Path:
    """Write an export of Label Studio: ids from 0, names that are paths on its server, no iscrowd and no area."""
    data, source = photos()
    for item in data["categories"]:
        item["id"] -= 1
    for item in data["annotations"]:
        item["category_id"] -= 1
        item["ignore"] = 0
    _images(folder / "images", data, source)
    for number, image in enumerate(data["images"]):
        name = image["file_name"]
        image["file_name"] = [f"images\\{name}", f"/data/upload/1/{name}", f"images/{name}?x=1"][number % 3]
    return _write(folder / "result.json", data)


def cvat(folder: Path) -> Path:
    """Write an export of CVAT: names relative to a folder in images/, a brush mask (a crowd), attributes."""
    data, source = photos()
    _images(folder / "images/default", data, source)
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    for number, item in enumerate(data["annotations"]):
        item |= {
            "iscrowd": int(number == 0),
            "area": item["bbox"][2] * item["bbox"][3],
            "attributes": {"occluded": False},
        }
        if number < 2:
            encoded = mask_utils.merge(mask_utils.frPyObjects(item["segmentation"], *sizes[item["image_id"]]))
            item["segmentation"] = {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
    return _write(folder / "annotations/instances_default.json", data)


def roboflow(folder: Path, split: str = "train", share: slice = slice(None)) -> Path:
    """Write an export of Roboflow: the annotation file beside the images, a root category 0 without objects."""
    data, source = photos()
    data["images"] = data["images"][share]
    ids = {image["id"] for image in data["images"]}
    data["annotations"] = [{**item, "iscrowd": 0} for item in data["annotations"] if item["image_id"] in ids]
    for item in data["categories"]:
        item["supercategory"] = "things"
    data["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    _images(folder / split, data, source)
    return _write(folder / split / "_annotations.coco.json", data)


def small(folder: Path, *, names=("a.png", "b.png", "c.png", "d.png"), segmentation=None, **changes) -> Path:
    """Write an export of four images, a.png to d.png, with one object each and two categories."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate("abcd"):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{name}.png")
    images = [{"id": index, "file_name": name, "width": 20, "height": 20} for index, name in enumerate(names)]
    objects = [
        {"id": index, "image_id": index, "category_id": index % 2, "bbox": [2, 2, 9, 9], "segmentation": segmentation}
        for index in range(len(names))
    ]
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    data = {"images": images, "annotations": objects, "categories": categories, **changes}
    return _write(folder / "result.json", data)


def _images(folder: Path, data, source: Path) -> None:
    folder.mkdir(parents=True)
    for image in data["images"]:
        os.symlink(source / image["file_name"], folder / image["file_name"])


def _write(path: Path, data) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def command(capsys, *arguments) -> tuple[int, str, str]:
    """Return a function that runs datasets/prepare_export.py, and returns exit status, output and errors."""
    main = runpy.run_path(str(ROOT / "datasets/prepare_export.py"))["main"]
    status = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def change(export, **fields):
    """Replace lists in an export."""
    export.write_text(json.dumps({**json.loads(export.read_text()), **fields}))
    return export
