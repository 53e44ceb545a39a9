"""Test the warning about boxes in percent of the image size: it names such files, and no file with boxes in pixels."""

import numpy as np
import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.data.boxes_and_masks.percent_boxes import LARGE, MIN_BOXES, LargeImageBoxes
from seesaw_d2.data.records.cache.store import read_tables
from seesaw_d2.utils.messages import collected_warnings
from tests.data.toy import write

FRAME = np.array([LARGE, LARGE + 240])


def boxes_in_percent(count: int) -> np.ndarray:
    """Return random boxes x, y, width, height in percent of the image size, (count, 4)."""
    random = np.random.default_rng(0)
    ends = np.sort(random.uniform(0, 100, (count, 2, 2)), axis=2)
    return np.concatenate([ends[..., 0], ends[..., 1] - ends[..., 0]], axis=1)


def said(tmp_path, boxes: np.ndarray, frame=FRAME, read=read_annotations) -> bool:
    """Return whether reading a file with these boxes logs a warning about percent that names the file and the ids."""
    width, height = map(int, frame)
    objects = [
        {"id": 50 + index, "image_id": 1 + index % 7, "category_id": 1, "bbox": box}
        for index, box in enumerate(boxes.tolist())
    ]
    images = [{"id": 1 + key, "file_name": f"{key}.png", "width": width, "height": height} for key in range(7)]
    path = write(
        tmp_path, {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}, "percent.json"
    )
    with collected_warnings() as warnings:
        read(path, "coco")
    found = [message for message in warnings if "percent of the image size" in message]
    assert all(path in message and "annotation ids 50, 51" in message for message in found)
    return bool(found)


def test_boxes_in_percent_are_named(tmp_path, monkeypatch, cache):
    boxes = boxes_in_percent(2 * MIN_BOXES)
    assert said(tmp_path, boxes)
    assert said(tmp_path, boxes.round())
    assert said(tmp_path, boxes[:MIN_BOXES])
    monkeypatch.setattr("seesaw_d2.data.records.cache.parallel_parsing.PART", 7)
    assert said(tmp_path, boxes, read=read_tables)  # reads the file in parts


@pytest.mark.parametrize(
    ("change", "frame"),
    [
        (lambda boxes: boxes[: MIN_BOXES - 1], FRAME),
        (lambda boxes: boxes, [LARGE - 1, 1000]),
        (lambda boxes: boxes * 3, FRAME),
        (lambda boxes: boxes * 0.8, FRAME),  # all in a corner of the image
        (lambda boxes: boxes * 1.1, FRAME),
        (lambda boxes: boxes * [1, 0.5, 1, 0.5], FRAME),
        (lambda boxes: boxes + np.array([10.5, 0, 0, 0]), FRAME),
        (lambda boxes: boxes * [0.4, 1, 1, 1] + [0, 0, 10, 0], FRAME),
        (lambda boxes: boxes / 100, FRAME),  # fractions have their own warning
        (lambda boxes: np.concatenate([boxes, [[300.0, 200.0, 50.0, 50.0]]]), FRAME),
        (lambda boxes: boxes[:0], FRAME),
    ],
)
def test_other_boxes_are_not(tmp_path, change, frame):
    assert not said(tmp_path, change(boxes_in_percent(2 * MIN_BOXES)), frame)


def test_a_file_without_annotations_has_no_extent():
    assert LargeImageBoxes.joined([]) == LargeImageBoxes()
    assert not LargeImageBoxes().are_percent()
