"""Test the warning about boxes without masks that exceed their images, but are inside in another convention."""

import numpy as np
import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.data.records.cache.store import read_tables
from seesaw_d2.utils.messages import collected_warnings
from tests.data.toy import write

FRAME = np.array([200, 100])


def corners(count: int) -> np.ndarray:
    """Return random boxes x1, y1, x2, y2 inside an image, (count, 4)."""
    random = np.random.default_rng(0)
    ends = np.sort(random.uniform(0, 1, (count, 2, 2)), axis=1)
    ends[:, 1] += 0.02
    return (ends * FRAME).reshape(count, 4).clip(0, np.tile(FRAME, 2))


def right(count: int) -> np.ndarray:
    boxes = corners(count)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def said(tmp_path, boxes: np.ndarray, read=read_annotations, **fields) -> str:
    """Return the warnings about boxes without masks. They name the file, and ids from 50 on."""
    objects = [
        {"id": 50 + index, "image_id": 1 + index % 7, "category_id": 1, "bbox": box, **fields}
        for index, box in enumerate(boxes.tolist())
    ]
    images = [{"id": key, "file_name": f"{key}.png", "width": 200, "height": 100} for key in range(1, 8)]
    data = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}
    path = write(tmp_path, data, "boxes.json")
    with collected_warnings() as warnings:
        read(path, "coco")
    found = [message for message in warnings if "boxes without masks" in message]
    assert all(path in message and "annotation ids 5" in message for message in found)
    return " ".join(found)


def test_boxes_in_another_convention_are_named(tmp_path, monkeypatch, cache):
    boxes = corners(60)
    assert "60 of these 60 boxes are inside their images as x1, y1, x2, y2" in said(tmp_path, boxes)
    assert "as x1, y1, x2, y2" in said(tmp_path, boxes[:5])
    middles = right(60)
    middles[:, :2] += middles[:, 2:] / 2
    assert "as the box's center, width, height" in said(tmp_path, middles)
    monkeypatch.setattr("seesaw_d2.data.records.cache.parallel_parsing.PART", 7)
    assert said(tmp_path, boxes, read=read_tables) == said(tmp_path, boxes)  # reads the file in parts


@pytest.mark.parametrize(
    "boxes",
    [
        right(60),
        right(60) * 1.5,  # boxes that exceed their images, as tools write them that do not clip
        right(60) + np.array([9, 9, 0, 0]),
        np.array([[2.0, 2, 199, 99]] * 9),  # large objects fit both ways
        np.zeros((0, 4)),
    ],
)
def test_other_boxes_are_not_named(tmp_path, boxes):
    assert said(tmp_path, boxes) == ""


def test_boxes_with_masks_are_compared_with_them(tmp_path):
    x1, y1, x2, y2 = box = corners(1)[0]
    assert said(tmp_path, box[None], segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]]) == ""
