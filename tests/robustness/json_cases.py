"""Define broken annotation files: truncated, of another type, with invalid numbers and references."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetMapper

from seesaw_d2.data import read_annotations
from seesaw_d2.data.images.mapper import CheckedMapper
from seesaw_d2.data.records.training_records import check_trainable
from tests.data.toy import make_cfg, toy_data, write_images
from tests.robustness.corpus import Case, cases, raw

NAME = "toy.json"


def text(content: bytes | str | Callable[[Path], None]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        write_images(folder / "images", toy_data())
        return raw(NAME, content)(folder)

    return make


def changed(key: str, **fields: Any) -> Callable[[Path], str]:
    """Return the toy data with changed fields in the first entry of a list. A value of None removes the field."""
    data = toy_data()
    for name, value in fields.items():
        if value is None:
            data[key][0].pop(name, None)
        else:
            data[key][0][name] = value
    return text(json.dumps(data))


def with_text(key: str, name: str, value: str) -> Callable[[Path], str]:
    """Return the same as ``changed``, with JSON text that Python does not write."""
    data = toy_data()
    data[key][0][name] = "<here>"
    return text(json.dumps(data).replace('"<here>"', value))


def read(path: str) -> None:
    """Read, check and convert the file, and map every image, as in training."""
    records = read_annotations(path).to_dataset_dicts(os.path.join(os.path.dirname(path), "images"))
    cfg = make_cfg()
    check_trainable(cfg, path, records)
    mapper = CheckedMapper(DatasetMapper(cfg, is_train=True))
    for record in records:
        assert os.path.realpath(record["file_name"]).startswith(os.path.dirname(os.path.realpath(path)))
        sample = mapper(record)
        assert sample["image"].numel()
        assert np.isfinite(sample["instances"].gt_boxes.tensor.numpy()).all()


RIGHT = json.dumps(toy_data())
ANNOTATIONS = toy_data()["annotations"]
OUTER = [[-50, -50, -41, -50, -41, -41]]
RUNS = {"size": [40, 60], "counts": [2400]}
LVIS = [{**image, "neg_category_ids": [], "coco_url": "http://x/y/../../0.jpg"} for image in toy_data()["images"]]
NEITHER = r'toy\.json: "segmentation": .*polygons.*run-length.* ids 100'
OUTSIDE = r"toy\.json: .*\"file_name\".*outside"

CASES: list[Case] = cases(
    "json",
    {
        "empty": (text(""), r"toy\.json: .*not JSON: .* line 1, column 1"),
        "torn": (text(RIGHT[: len(RIGHT) // 2]), r"toy\.json: .*not JSON: .* line 1"),
        "trailing text": (text(RIGHT + "x"), r"toy\.json: .*not JSON: Extra data"),
        "not UTF-8": (text(b'{"images": "\xff\xfe"}'), r"toy\.json: .*not JSON.*UTF-8.*\b12\b"),
        "gzip": (text(gzip.compress(RIGHT.encode())), r"toy\.json: .*gzip"),
        "ZIP": (text(b"PK\x03\x04\x14\0"), r"toy\.json: .*ZIP"),
        "UTF-16": (text(RIGHT.encode("utf-16")), r"toy\.json: .*not JSON.*UTF-8.*\b0\b"),
        "zeros": (text(bytes(5000)), r"toy\.json: .*not JSON"),
        "100,000 brackets": (text("[" * 100_000), r"toy\.json: .*nested too deeply"),
        "100,000 objects": (text('{"a":' * 100_000), r"toy\.json: .*nested too deeply"),
        "a list": (text("[]"), r"toy\.json: .*found a list"),
        "null": (text("null"), r"toy\.json: .*found null"),
        "NaN": (with_text("annotations", "bbox", "[NaN, 1, 2, 3]"), r"toy\.json: .*NaN"),
        "Infinity": (with_text("annotations", "area", "Infinity"), r"toy\.json: .*Infinity"),
        "overflowing box": (with_text("annotations", "bbox", "[1e999, 1, 2, 3]"), r'"bbox": .*four finite'),
        "a number of 5,000 digits": (with_text("images", "id", "1" * 5000), r"number"),
        "surrogate in a name": (with_text("images", "file_name", r'"\ud800.jpg"'), r"file names.*: '.ud800\.jpg'"),
        "zero byte in a name": (changed("images", file_name="a\0.jpg"), OUTSIDE),
        "a list twice": (text(RIGHT[:-1] + ', "images": []}'), r'toy\.json: .*each key once.*"images" 2 times'),
        "a box twice": (
            text(RIGHT.replace('"bbox"', '"bbox": [1, 2, 3, 4], "bbox"', 1)),
            r'"bbox" 2 times .* id 100\.',
        ),
        "a name twice": (text(RIGHT.replace('"name"', '"name": "x", "name"', 1)), r'"name" 2 times .* id 7\.'),
        "images an object": (text('{"images": {}, "categories": []}'), r'"images": .*an object'),
        "no categories": (text('{"images": [{"id": 1, "height": 1, "width": 1}]}'), '"categories"'),
        "image ids twice": (changed("images", id=11), r'"images": .*unique.* 11$'),
        "annotation ids twice": (changed("annotations", id=101), r'"annotations": .*unique.* 101$'),
        "category ids twice": (changed("categories", id=3), r'"categories": .*unique.* 3$'),
        "negative category": (changed("annotations", category_id=-1), r'"category_id" .*"categories", found .*-1'),
        "category a float": (changed("annotations", category_id=3.0), r'"category_id" .* integers'),
        "category a string": (changed("annotations", category_id="3"), r'"category_id" .* integers'),
        "category true": (changed("annotations", category_id=True), r'"category_id" .* integers'),
        "id beyond 64 bits": (changed("annotations", image_id=2**64), r'"image_id" .* integers'),
        "negative ids": (text(RIGHT.replace('_id": 3', '_id": -3').replace('"id": 3', '"id": -3')), None),
        "no image of an annotation": (changed("annotations", image_id=999), r'"image_id" .*"images", found .*999'),
        "image without size": (changed("images", height=None), r'"height" .*"images".*ids 10'),
        "negative size": (changed("images", width=-60), r'"width" in "images": .*found -60 \(ids 10'),
        "size a float": (changed("images", width=60.0), r'"width" in "images": .*integers'),
        "size beyond memory": (changed("images", width=10**18), r'"width" in "images": .* 1000000, found 10+ \(ids 10'),
        "name a number": (changed("images", file_name=7), r'"file_name" .*"images".*ids 10'),
        "no name of a category": (changed("categories", name=None), r'"name" .*"categories"'),
        "polygon of two points": (changed("annotations", segmentation=[[1, 1, 9, 9]]), None),
        "polygon of odd length": (changed("annotations", segmentation=[[1, 1, 9, 1, 9, 9, 1]]), None),
        "polygon on a line": (changed("annotations", segmentation=[[5, 5, 9, 5, 20, 5]]), None),
        "polygon that crosses itself": (changed("annotations", segmentation=[[5, 5, 20, 20, 20, 5, 5, 20]]), None),
        "polygon far away": (changed("annotations", segmentation=[[0, 0, 1e9, 0, 1e9, 1e9]]), r"10 times"),
        "polygon of null": (changed("annotations", segmentation=[[0, 0, 9, "x", 9, 9]]), NEITHER),
        "polygon of lists": (changed("annotations", segmentation=[[[0, 0], [9, 0], [9, 9]] * 2]), NEITHER),
        "100,000 points": (changed("annotations", segmentation=[[5, 5, 20, 5, 20, 20] * 33_334]), None),
        "runs that are garbage": (changed("annotations", segmentation={**RUNS, "counts": "garbage!!"}), NEITHER),
        "runs too long": (changed("annotations", segmentation={**RUNS, "counts": [2401]}), NEITHER),
        "runs too short": (changed("annotations", segmentation={**RUNS, "counts": [1]}), NEITHER),
        "negative runs": (changed("annotations", segmentation={**RUNS, "counts": [-1, 2401]}), NEITHER),
        "runs of another size": (changed("annotations", segmentation={"size": [9, 9], "counts": [81]}), NEITHER),
        "runs of a huge size": (
            changed("annotations", segmentation={"size": [10**9, 10**9], "counts": [10**18]}),
            NEITHER,
        ),
        "negative box": (changed("annotations", bbox=[5, 5, -9, -9]), None),
        "box of no size": (changed("annotations", bbox=[5, 5, 0, 0]), None),
        "box outside": (changed("annotations", bbox=[-50, -50, 9, 9], segmentation=OUTER), None),
        "box far away": (changed("annotations", bbox=[0, 0, 1e9, 1e9]), r'"bbox": .*10 times'),
        "crowd 2": (changed("annotations", iscrowd=2), r'"iscrowd" .* 0 or 1, found 2'),
        "every object without an area": (
            text(json.dumps({**toy_data(), "annotations": [{**a, "bbox": [1, 1, 0, 0]} for a in ANNOTATIONS]})),
            None,
        ),
        "parent folder": (changed("images", file_name="../../../etc/passwd"), OUTSIDE),
        "inner parent folder": (changed("images", file_name="a/../../0.jpg"), OUTSIDE),
        "absolute path": (changed("images", file_name="/etc/passwd"), OUTSIDE),
        "Windows' path": (changed("images", file_name="..\\..\\x.jpg"), OUTSIDE),
        "home": (changed("images", file_name="~/x.jpg"), r"~/x\.jpg: .*decode"),
        "an address": (changed("images", file_name="http://localhost:1/x.jpg"), OUTSIDE),
        "coco_url with a parent folder": (text(json.dumps({**toy_data(), "images": LVIS})), OUTSIDE),
        "folder in place of the file": (text(Path.mkdir), r"toy\.json: .*found a directory"),
        "pipe in place of the file": (text(os.mkfifo), r"toy\.json: .*found a pipe"),
        "device in place of the file": (
            text(lambda path: path.symlink_to("/dev/zero")),
            r"toy\.json: .*found a device",
        ),
        "link to nothing": (text(lambda path: path.symlink_to("nowhere")), r"toy\.json: .*found no file"),
        "link to itself": (text(lambda path: path.symlink_to(path)), r"toy\.json: cannot read"),
    },
)
