"""Test that exactly those boxes are reported that do not agree with the masks of the same objects."""

import json
import logging
import re

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from seesaw_d2.data import read_annotations
from seesaw_d2.data.boxes_and_masks.box_mask_agreement import find_disagreement
from seesaw_d2.data.records.annotation_files import check_annotations
from seesaw_d2.data.records.cache.store import open_annotations, read_tables
from seesaw_d2.utils.messages import collected_warnings
from tests.data.toy import write
from tests.shared import shared_path

WIDTH, HEIGHT = 640, 400


def polygons(count: int = 40) -> np.ndarray:
    """Return random polygons in the image, (count, 8, 2), with widths and heights from 4 to 120 pixels."""
    rng = np.random.default_rng(0)
    size = rng.uniform(4, 120, (count, 1, 2))
    start = rng.uniform(0, 1, (count, 1, 2)) * ([WIDTH, HEIGHT] - size)
    points = rng.uniform(0, 1, (count, 8, 2))
    points = (points - points.min(1, keepdims=True)) / np.ptp(points, axis=1)[:, None]
    return start + points * size


def data_of(points: np.ndarray, boxes: np.ndarray) -> dict:
    objects = [
        {"id": 50 + index, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": [polygon.ravel().tolist()]}
        for index, (polygon, box) in enumerate(zip(points, boxes.tolist(), strict=True))
    ]
    images = [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}]
    return {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "cat"}]}


def said(data: dict) -> list[str]:
    """Return the messages about boxes and masks of a file."""
    with collected_warnings() as warnings:
        check_annotations(json.loads(json.dumps(data)), "toy.json", "coco")
    return [message for message in warnings if "their masks" in message]


def disagreement(points: np.ndarray, boxes: np.ndarray):
    extents = np.concatenate([points.min(1), points.max(1)], axis=1)
    sizes = np.tile([HEIGHT, WIDTH], (len(points), 1))
    return find_disagreement(np.arange(len(points)), boxes, extents, sizes)


def parts_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper left corners, and the widths and heights, of the boxes around polygons."""
    return points.min(1), np.ptp(points, axis=1)


FRAME = np.array([WIDTH, HEIGHT])
# Cause of the fault -> function from (corner, size) to the wrong bbox in the file.
FAULTS = {
    "x1, y1, x2, y2": lambda start, side: (start, start + side),
    "x1, y1, x2, y2 in fractions": lambda start, side: (start / FRAME, (start + side) / FRAME),
    "x, y, width, height in fractions": lambda start, side: (start / FRAME, side / FRAME),
    "center, width, height in fractions": lambda start, side: ((start + side / 2) / FRAME, side / FRAME),
    "x, y, width, height in percent": lambda start, side: (start / FRAME * 100, side / FRAME * 100),
    "x1, y1, x2, y2 in thousandths": lambda start, side: (start / FRAME * 1000, (start + side) / FRAME * 1000),
    "center, width, height": lambda start, side: (start + side / 2, side),
    "y, x, height, width": lambda start, side: (start[:, ::-1], side[:, ::-1]),
    "y1, x1, y2, x2": lambda start, side: (start[:, ::-1], (start + side)[:, ::-1]),
    "rotated by 90 degrees": lambda start, side: (
        np.stack([start[:, 1], WIDTH - start[:, 0] - side[:, 0]], axis=1),
        side[:, ::-1],
    ),
    "rotated by 180 degrees": lambda start, side: (FRAME - start - side, side),
    "image is mirrored": lambda start, side: (np.stack([WIDTH - start[:, 0] - side[:, 0], start[:, 1]], axis=1), side),
    "offset of a tile": lambda start, side: (start + np.array([700, 512]), side),
    "another size": lambda start, side: (start / 2, side / 2),
    "position of the center": lambda start, side: (start - side * [0.3, -0.25], side * [1.6, 0.5]),
}


@pytest.mark.parametrize("cause", FAULTS)
def test_what_is_wrong_with_all_boxes_is_recognized(cause):
    points = polygons()
    found = disagreement(points, np.concatenate(FAULTS[cause](*parts_of(points)), axis=1))
    assert len(found.ids) > 0.8 * len(points)
    name, count = found.causes.most_common(1)[0]
    assert cause in name
    assert count >= 0.9 * len(found.ids)
    assert (
        f"annotation ids {50 + found.ids[0]}"
        in said(data_of(points, np.concatenate(FAULTS[cause](*parts_of(points)), axis=1)))[0]
    )


@pytest.mark.parametrize(
    "convention",
    [
        lambda start, side: (start, side),
        lambda start, side: (start.round(), side.round()),
        lambda start, side: (np.floor(start), np.floor(side)),
        lambda start, side: (np.floor(start), np.ceil(start + side) - np.floor(start) + 1),
        lambda start, side: (np.ceil(start), np.floor(start + side) - np.ceil(start)),
        lambda start, side: (start + 1, side - 1),
        lambda start, side: (start - 0.01 * side, 1.02 * side),
    ],
    ids=["exact", "rounded", "cut", "last pixel included", "inside", "counted from 1", "a margin"],
)
def test_conventions_are_no_disagreement(convention):
    points = polygons()
    start, side = convention(*parts_of(points))
    assert said(data_of(points, np.concatenate([start, side.clip(1)], axis=1))) == []


def test_boxes_or_masks_that_are_cut_off_at_the_image():
    points = polygons() + np.array([WIDTH - 150, -60])
    low, high = points.min(1), points.max(1)
    inside = (low < [WIDTH - 4, HEIGHT]).all(1) & (high > [0, 4]).all(1)
    points, low, high = points[inside], low[inside], high[inside]
    cut = [np.clip(each, 0, FRAME) for each in (low, high)]
    assert said(data_of(points, np.concatenate([cut[0], cut[1] - cut[0]], axis=1))) == []
    assert said(data_of(np.clip(points, 0, FRAME), np.concatenate([low, high - low], axis=1))) == []


@pytest.mark.parametrize("compressed", [True, False])
def test_run_length_masks(compressed):
    start, side = parts_of(polygons())
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ellipses = start[:, None] + side[:, None] * (0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    data = data_of(ellipses, np.concatenate([start, side], axis=1))
    for item in data["annotations"]:
        (mask,) = mask_utils.frPyObjects(item["segmentation"], HEIGHT, WIDTH)
        pixels = mask_utils.decode(mask).ravel(order="F")
        edges = np.flatnonzero(np.diff(pixels, prepend=0)).tolist()
        runs = np.diff([0, *edges, pixels.size]).tolist()
        item["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": mask["counts"].decode() if compressed else runs}
    assert said(data) == []
    data["annotations"][3]["bbox"] = [*start[3].tolist(), *(start + side)[3].tolist()]
    data["annotations"][4] |= {"bbox": [0, 0, 600, 300], "iscrowd": 1}
    assert "annotation ids 53)" in said(data)[0]


def test_objects_that_are_not_compared():
    """Test that crowds, objects without a mask or with an omitted polygon, and empty boxes are not compared."""
    points = polygons(4)
    data = data_of(points, np.tile([[1, 1, 500, 300]], (4, 1)))
    two_points = [[1, 1, 501, 301]]
    data["annotations"][0]["iscrowd"] = 1
    data["annotations"][1]["segmentation"] = []
    data["annotations"][2]["segmentation"] += two_points
    data["annotations"][3]["bbox"] = [1, 1, 0, 300]
    assert said(data) == []


def test_masks_of_a_point_are_explained_by_nothing():
    points = np.repeat(polygons()[:, :1], 8, axis=1)
    assert disagreement(points, np.tile([1.0, 1.0, 30.0, 30.0], (len(points), 1))).causes.total() == 0


def test_large_files_say_the_same(tmp_path, monkeypatch, cache):
    """Test that reading in parts, in several processes and from the cache gives the same messages."""
    points = polygons()
    data = data_of(points, np.concatenate(FAULTS["x1, y1, x2, y2"](*parts_of(points)), axis=1))
    data["annotations"] = data["annotations"][::-1]
    path = write(tmp_path, data)
    monkeypatch.setattr("seesaw_d2.data.records.cache.parallel_parsing.PART", 7)
    found = []
    for read in (read_annotations, read_tables, open_annotations, open_annotations):
        with collected_warnings() as warnings:
            read(path, "coco") if read is read_tables else read(path)
        monkeypatch.setattr("seesaw_d2.data.records.cache.store._opened", {})
        found.append(list(dict.fromkeys(warnings)))  # the second iteration reads the cache
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[0]) == 1


def test_real_data(caplog):
    """Test real data. In LVIS v0.5, two photos were rotated together with the masks, but not with the boxes."""
    with collected_warnings() as warnings, caplog.at_level(logging.ERROR):
        for name in ("coco38/lvis_train.json", "coco38/lvis_val.json"):
            read_annotations(str(shared_path(f"data/{name}")))
        assert warnings == []
        read_annotations(str(shared_path("data/lvis_v0.5_val_100.json")))
    (message,) = warnings
    assert "13 of 977 objects" in message
    assert "annotation ids 448, 449, 450, 451, 452, … (13 in all)" in message
    assert re.search(r"13 of these boxes .*90 degrees", message)
