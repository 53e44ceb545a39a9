import copy
import json
import logging
import re

import numpy as np
import pytest
from detectron2.structures import BoxMode
from pycocotools import mask as mask_utils

from seesaw_d2.data import read_annotations
from seesaw_d2.errors import DataError
from tests.data.toy import HEIGHT, WIDTH, toy_data, write
from tests.shared import shared_path


def change(data, key, index, **fields):
    data[key][index].update(fields)


def remove(data, key, index, field):
    del data[key][index][field]


BROKEN = {
    "no images": (lambda d: d.pop("images"), '"images"'),
    "no categories": (lambda d: d.pop("categories"), '"categories"'),
    "no image": (lambda d: d["images"].clear(), r'"images": .*empty'),
    "no category": (lambda d: (d["annotations"].clear(), d["categories"].clear()), r'"categories": .*empty'),
    "images no list": (lambda d: d.update(images={}), r'"images": expected a list, found an object'),
    "image no object": (lambda d: d["images"].append(3), r'"images".*positions 4'),
    "no image id": (lambda d: remove(d, "images", 2, "id"), r'"id" .*"images".*positions 2'),
    "image id a string": (lambda d: change(d, "images", 2, id="a"), r"\"id\" .*integer.*found 'a'"),
    "no height": (lambda d: remove(d, "images", 2, "height"), r'"height" .*"images".*ids 12'),
    "zero width": (lambda d: change(d, "images", 1, width=0), r'"width".*found 0 \(ids 11'),
    "no file name": (lambda d: remove(d, "images", 1, "file_name"), r'"file_name" .*"images".*ids 11'),
    "parent folder": (lambda d: change(d, "images", 0, file_name="../x.jpg"), r"outside .*: \.\./x\.jpg"),
    "absolute path": (lambda d: change(d, "images", 0, file_name="/x.jpg"), r"outside .*: /x\.jpg"),
    "drive": (lambda d: change(d, "images", 0, file_name="C:\\x.jpg"), r"outside "),
    "image twice": (lambda d: change(d, "images", 1, id=10), r'"images": .*unique.* 10$'),
    "category twice": (lambda d: change(d, "categories", 0, id=3), r'"categories": .*unique.* 3$'),
    "annotation twice": (lambda d: change(d, "annotations", 0, id=101), r'"annotations": .*unique.* 101$'),
    "no category name": (lambda d: remove(d, "categories", 0, "name"), r'"name" .*"categories".*ids 7'),
    "name a number": (lambda d: change(d, "categories", 0, name=1), r'"name".*string.*ids 7'),
    "no category id": (lambda d: remove(d, "annotations", 1, "category_id"), r'"category_id".*ids 101'),
    "no box": (lambda d: remove(d, "annotations", 1, "bbox"), r'"bbox" .*"annotations".*ids 101'),
    "unknown category": (lambda d: change(d, "annotations", 0, category_id=8), r'"categories".* 8 .*ids 100'),
    "unknown image": (lambda d: change(d, "annotations", 0, image_id=5), r'"images".* 5 .*ids 100'),
    "category a float": (
        lambda d: change(d, "annotations", 0, category_id=3.0),
        r'"category_id".*integer.*found 3.0',
    ),
    "huge id": (lambda d: change(d, "images", 0, id=2**70), r'"id" .*integer'),
    "box of three": (lambda d: change(d, "annotations", 0, bbox=[1, 2, 3]), r'"bbox".*found \[1.*ids 100'),
    "box of strings": (lambda d: change(d, "annotations", 0, bbox=["1"] * 4), r'"bbox".*ids 100'),
    "box null": (lambda d: change(d, "annotations", 0, bbox=None), r'"bbox".*ids 100'),
    "flat polygon": (
        lambda d: change(d, "annotations", 0, segmentation=[1, 2, 3, 4, 5, 6]),
        r"list of poly.*100",
    ),
    "polygon of strings": (
        lambda d: change(d, "annotations", 0, segmentation=[["1"] * 6]),
        r"list of poly.*100",
    ),
    "mask without counts": (
        lambda d: change(d, "annotations", 0, segmentation={"size": [1, 2]}),
        r"run-.*100",
    ),
    "mask of another size": (
        lambda d: change(d, "annotations", 0, segmentation={"size": [2, 2], "counts": [4]}),
        r"run-length.*100",
    ),
    "negative ids no list": (
        lambda d: [change(d, "images", index, neg_category_ids=[3] if index else 3) for index in range(4)],
        r'"neg_category_ids": .*found 3 .* 10\)$',
    ),
}


@pytest.mark.parametrize(("mutate", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_error_names_file_and_entry(tmp_path, mutate, message):
    data = toy_data()
    mutate(data)
    path = write(tmp_path, data)
    with pytest.raises(DataError, match=message) as error:
        read_annotations(path)
    assert str(error.value).startswith(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [\n 1,, 2]}', r"not JSON: .* line 2, column 4"),
        ("", "line 1, column 1"),
        ("[1, 2]", "found a list"),
        ("3", "found a number"),
        ('{"images": NaN}', "NaN"),
        ("[" * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_not_an_annotation_file(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_annotations(write(tmp_path, text))


def test_infinite_box(tmp_path):
    text = json.dumps(toy_data()).replace("[5, 5, 15, 15]", "[5, 5, 1e999, 15]", 1)
    with pytest.raises(DataError, match="four finite numbers"):
        read_annotations(write(tmp_path, text))


def test_unreadable_files(tmp_path):
    with pytest.raises(DataError, match="found no file"):
        read_annotations(str(tmp_path / "absent.json"))
    with pytest.raises(DataError, match="found a directory"):
        read_annotations(str(tmp_path))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"UTF-8.*\b0\b"):
        read_annotations(str(tmp_path / "binary.json"))


def test_many_offenders_are_counted(tmp_path):
    data = toy_data(20)
    for annotation in data["annotations"]:
        annotation["category_id"] = 5
    with pytest.raises(DataError, match=r"\(41 in all\)"):
        read_annotations(write(tmp_path, data))


def test_dicts(tmp_path):
    dicts = read_annotations(write(tmp_path, toy_data())).to_dataset_dicts("root")
    assert [record["image_id"] for record in dicts] == [10, 11, 12, 13]
    first = dicts[0]
    assert (first["file_name"], first["height"], first["width"]) == ("root/0.jpg", HEIGHT, WIDTH)
    # Category 3 comes before 7, because the index is the rank of the id, not the position in the file.
    assert sorted(item["category_id"] for item in first["annotations"]) == [0, 0, 1]
    item = first["annotations"][0]
    assert item["bbox"] == [5, 5, 15, 15]
    assert item["bbox_mode"] is BoxMode.XYWH_ABS
    assert item["segmentation"] == [[5, 5, 20, 5, 20, 20, 5, 20]]


def test_order_of_entries_does_not_matter(tmp_path):
    data = toy_data()
    data["annotations"].sort(key=lambda item: item["id"])
    other = copy.deepcopy(data)
    other["images"].reverse()
    other["categories"].reverse()
    first, second = (read_annotations(write(tmp_path, value)).to_dataset_dicts("") for value in (data, other))
    assert first == second


def test_bad_polygons_are_left_out_with_a_warning(tmp_path, caplog):
    data = toy_data()
    good = data["annotations"][0]["segmentation"][0]
    data["annotations"][0]["segmentation"] = [[1, 2, 3, 4], good, good[:-1]]
    data["annotations"][1]["segmentation"] = [[1, 2, 3, 4]]
    with caplog.at_level(logging.WARNING):
        file = read_annotations(write(tmp_path, data))
    assert re.search("annotation ids 100, 101.* 1 objects", caplog.text)
    assert len(file.annotations) == len(data["annotations"]) - 1
    assert file.to_dataset_dicts("")[0]["annotations"][0]["segmentation"] == [good]


@pytest.mark.parametrize("box", [[5, 5, 0, 15], [5, 5, 15, -1]])
def test_boxes_without_area_are_not_trained_on(tmp_path, caplog, box):
    data = toy_data()
    data["annotations"][0]["bbox"] = box
    with caplog.at_level(logging.WARNING):
        file = read_annotations(write(tmp_path, data, f"{box[3]}.json"))
    assert re.search("1 objects .*area: annotation ids 100", caplog.text)
    assert len(file.annotations) == len(data["annotations"])
    assert sum(len(record["annotations"]) for record in file.to_dataset_dicts("")) == len(file.annotations) - 1


@pytest.mark.parametrize("compressed", [False, True])
def test_run_length_masks(tmp_path, compressed):
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[5:20, 5:20] = 1
    flat = mask.flatten(order="F")
    counts = np.diff(np.flatnonzero(np.diff(flat, prepend=0, append=2)), prepend=0, append=0)[:-1].tolist()
    segmentation = {"size": [HEIGHT, WIDTH], "counts": counts}
    if compressed:
        segmentation = mask_utils.encode(np.asfortranarray(mask))
        segmentation["counts"] = segmentation["counts"].decode()
    data = toy_data()
    data["annotations"][0].update(segmentation=segmentation, iscrowd=1)
    item = read_annotations(write(tmp_path, data)).to_dataset_dicts("")[0]["annotations"][0]
    assert item["iscrowd"] == 1
    assert (mask_utils.decode(item["segmentation"]) == mask).all()


def test_format(tmp_path):
    data = toy_data()
    assert read_annotations(write(tmp_path, data)).format == "coco"
    for image in data["images"]:
        image |= {"neg_category_ids": [], "coco_url": f"http://host/a/train/{image['id']}.jpg"}
    path = write(tmp_path, data)
    assert read_annotations(path).format == "lvis"
    assert read_annotations(path).image_files[0] == "train/10.jpg"
    assert read_annotations(path, "coco").image_files[0] == "0.jpg"
    data["images"][0]["coco_url"] = "http://host/../10.jpg"
    with pytest.raises(DataError, match="outside "):
        read_annotations(write(tmp_path, data))


def test_objects_without_masks_stay(tmp_path):
    data = toy_data()
    del data["annotations"][0]["segmentation"]
    data["annotations"][1]["segmentation"] = []
    objects = read_annotations(write(tmp_path, data)).to_dataset_dicts("")[0]["annotations"]
    assert [("segmentation" in item) for item in objects] == [False, False, True]


def test_without_annotations(tmp_path):
    data = toy_data()
    del data["annotations"]
    file = read_annotations(write(tmp_path, data))
    assert file.annotations is None
    assert "annotations" not in file.to_dataset_dicts("")[0]


def test_lvis_v05_val():
    file = read_annotations(str(shared_path("data/lvis_v0.5_val_100.json")))
    dicts = file.to_dataset_dicts("coco")
    assert (file.format, len(dicts), len(file.categories)) == ("lvis", 100, 1230)
    assert sum(len(record["annotations"]) for record in dicts) == 977
    assert "coco/val2017/000000266409.jpg" in {record["file_name"] for record in dicts}


def test_lvis_dicts_are_those_of_detectron2():
    from detectron2.data.datasets.lvis import load_lvis_json

    path = str(shared_path("data/lvis_v0.5_val_100.json"))
    ours = read_annotations(path).to_dataset_dicts("coco/")
    assert ours == load_lvis_json(path, "coco/")
