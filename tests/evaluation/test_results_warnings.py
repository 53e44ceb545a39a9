"""Test warnings about valid but unlikely results files. A warning contains the file and the count."""

import logging
import re

import numpy as np
import orjson
import pytest
from pycocotools import mask as mask_utils

from seesaw_d2.evaluation.ground_truth import GroundTruth
from seesaw_d2.evaluation.results_files import read_results
from seesaw_d2.utils import messages

HEIGHT, WIDTH, COUNT = 80, 120, 40
TRUTH = GroundTruth.from_data(
    {
        "images": [{"id": 1, "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [],
    }
)


def detections(jitter: int = 0) -> list[dict]:
    """Return detections whose boxes differ by up to ``jitter`` pixels from the boxes around the masks."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(COUNT):
        (x, w), (y, h) = ((rng.integers(0, side // 2), rng.integers(9, side // 2)) for side in (WIDTH, HEIGHT))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
        mask[y : y + h, x : x + w] = 1
        mask = mask_utils.encode(mask)
        box = (np.array([x, y, w, h]) + rng.integers(-jitter, jitter + 1, 4)).tolist()
        mask["counts"] = mask["counts"].decode()
        found.append({"image_id": 1, "category_id": 1, "score": rng.random(), "bbox": box, "segmentation": mask})
    return found


def with_boxes(results, change):
    return [{**item, "bbox": change(*item["bbox"])} for item in results]


def without(results, field):
    return [{key: value for key, value in item.items() if key != field} for item in results]


def corners(x, y, w, h):
    return [x, y, x + w, y + h]


RIGHT = detections()
CASES = {
    "right": (RIGHT, None),
    "masks that differ from boxes": (detections(9), None),
    "right, only boxes": (without(RIGHT, "segmentation"), None),
    "corners": (with_boxes(RIGHT, corners), rf"{COUNT} boxes .* x1, y1, x2, y2"),
    "rough corners": (with_boxes(detections(2), corners), "x1, y1, x2, y2"),
    "fractions": (
        with_boxes(RIGHT, lambda x, y, w, h: [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]),
        rf"{COUNT} boxes .* fractions",
    ),
    "fractions, only boxes": (
        with_boxes(without(RIGHT, "segmentation"), lambda x, y, w, h: [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]),
        rf"{COUNT} of {COUNT} boxes .* fractions",
    ),
    "larger image, only boxes": (
        with_boxes(without(RIGHT, "segmentation"), lambda *box: [9 * number for number in box]),
        rf"\d\d of {COUNT} boxes .* outside",
    ),
    "negative width, only boxes": (
        with_boxes(without(RIGHT, "segmentation"), lambda x, y, w, h: [x + w, y, -w, h]),
        rf"{COUNT} of {COUNT} boxes .* not positive",
    ),
    "corners, only boxes": (without(with_boxes(RIGHT, corners), "segmentation"), rf"of {COUNT} boxes.* x1, y1, x2, y2"),
    "twice": (RIGHT * 2, rf"\b{COUNT} of {2 * COUNT} detections"),
    "one twice, only masks": (without([*RIGHT, RIGHT[3]], "bbox"), rf"\b1 of {COUNT + 1} detections"),
    "percent": ([{**item, "score": 100 * item["score"]} for item in RIGHT], rf"of {COUNT} scores"),
    "logits": ([{**RIGHT[0], "score": -0.5}, RIGHT[1]], r"\b1 of 2 scores"),
}


@pytest.mark.parametrize(("results", "expected"), CASES.values(), ids=CASES)
def test_unlikely_files_are_named(tmp_path, caplog, monkeypatch, results, expected):
    monkeypatch.setattr(messages, "_already_logged", set())
    (path := tmp_path / "results.json").write_bytes(orjson.dumps(results))
    with caplog.at_level(logging.WARNING):
        assert len(read_results(str(path), TRUTH)) == len(results)
    if expected is None:
        assert not caplog.messages
    else:
        (message,) = caplog.messages
        assert message.startswith(f"{path}: ")
        assert re.search(expected, message)
