"""Test that the cache gives the same records as parsing, for valid and invalid annotations of all kinds."""

import json
import re
from pathlib import Path

import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.data.records.cache import parallel_parsing as parts
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.errors import DataError
from tests.data.toy import everything, square, toy_data, write

pytestmark = pytest.mark.usefixtures("cache")

POLYGON = square(5, 5, 9)["segmentation"][0]
KINDS = {
    "a crowd": {"iscrowd": 1},
    "no crowd": {"iscrowd": 0},
    "no mask": {"segmentation": None},
    "no polygon": {"segmentation": []},
    "two polygons": {"segmentation": [POLYGON, POLYGON]},
    "integers": {"bbox": [1, 2, 3, 4], "area": 7},
    "other fields": {"attributes": {"id": "x", "segmentation": [[["é", 1e300]]]}},
    "beyond the image": {"segmentation": [[-500, 5, 599.5, 5, 5, 300]]},
    "id true": {"id": True},
    "id a fraction": {"id": 1.0},
    "id too large": {"id": 2**70},
    "an id twice": {"id": 101},
    "id a text": {"id": "1"},
    "no such image": {"image_id": 9},
    "no such category": {"category_id": 4},
    "category null": {"category_id": None},
    "crowd true": {"iscrowd": True},
    "crowd -1": {"iscrowd": -1},
    "crowd null": {"iscrowd": None},
    "area null": {"area": None},
    "area a text": {"area": "1"},
    "three numbers": {"bbox": [1, 2, 3]},
    "bbox of texts": {"bbox": ["1", "2", "3", "4"]},
    "bbox true": {"bbox": [1, 2, 3, True]},
    "no area": {"bbox": [1, 2, 0, 4]},
    "a box far away": {"bbox": [601, 2, 3, 4]},
    "two points": {"segmentation": [POLYGON, [1, 1, 5, 5]]},
    "half a point": {"segmentation": [[*POLYGON, 1]]},
    "an empty polygon": {"segmentation": [[]]},
    "a point far away": {"segmentation": [POLYGON, [1, 1, 5, 5, -601, 3]]},
    "a text among numbers": {"segmentation": [["1", *POLYGON[1:]]]},
    "a flat polygon": {"segmentation": POLYGON},
    "run lengths": {"segmentation": {"size": [40, 60], "counts": [100, 20, 2280]}},
    "an empty object": {"segmentation": {}},
}


def changed(change: dict) -> dict:
    data = toy_data()
    data["annotations"][2] |= change
    return data


def found(read, path):
    try:
        return list(read(path).to_dataset_dicts("root"))
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("change", KINDS.values(), ids=KINDS)
def test_the_same_as_parsing(tmp_path, change):
    path = write(tmp_path, changed(change))
    assert found(open_annotations, path) == found(read_annotations, path)


@pytest.mark.parametrize("part", [2, 10_000])
@pytest.mark.parametrize(
    ("before", "repeated"),
    [
        ('"annotations"', '"annotations": [], "annotations"'),
        ('"info"', '"info": 1, "info"'),
        ('"file_name"', '"file_name": "x", "file_name"'),
        ('"supercategory"', '"supercategory": "x", "supercategory"'),
        ('"bbox"', '"bbox": [1, 2, 3, 4], "bbox"'),
        ('"other"', '"other": 1, "other"'),
    ],
)
def test_a_key_twice(tmp_path, monkeypatch, part, before, repeated):
    """Test that a repeated key of each kind is found in all parts of a file, with any spaces around the colon."""
    monkeypatch.setattr(parts, "PART", part)
    data = {"info": {"version": 1}, **toy_data()}
    data["categories"][-1]["supercategory"] = '": "'
    data["annotations"][-1] |= {"attributes": {"other": 1}}
    for separators in ((", ", ": "), (",", ":"), (" , ", " : ")):
        text = json.dumps(data, separators=separators)
        path = write(tmp_path, data)
        Path(path).write_text(text)
        assert isinstance(found(open_annotations, path), list)
        start = text.rindex(before)
        Path(path).write_text(text[:start] + repeated + text[start + len(before) :])
        message = f"{path}: expected each key once in an object, found {before} 2 times"
        assert found(open_annotations, path).startswith(message)


@pytest.mark.parametrize("value", [0, 1, True, 2, 1.0, "0", "false", None, [1]], ids=repr)
def test_ignore_is_a_flag_in_lvis(tmp_path, value):
    """Test that "ignore" must be a flag in LVIS format, and has no effect in COCO format."""
    data = changed({"ignore": value})
    assert isinstance(found(open_annotations, write(tmp_path, data)), list)
    for image in data["images"]:
        image["neg_category_ids"] = []
    results = [found(read, path := write(tmp_path, data)) for read in (open_annotations, read_annotations)]
    assert results[0] == results[1]
    if type(value) in (int, bool) and value in (0, 1):
        assert isinstance(results[0], list)
    else:
        assert results[0].startswith(path)
        assert re.search(rf'"ignore" in "annotations": .* 0 or 1, .*{re.escape(repr(value))} \(ids 102\)', results[0])


@pytest.mark.parametrize("part", [2, 10_000])
def test_coordinates_are_floats(tmp_path, monkeypatch, part):
    """Test that coordinates are floats, because Detectron2 truncates resized coordinates of integer polygons."""
    monkeypatch.setattr(parts, "PART", part)
    data = everything()  # with run lengths, so that one of the parts is unusual
    for item in data["annotations"]:
        item["bbox"] = list(map(int, item["bbox"]))
        if type(item.get("segmentation")) is list:
            item["segmentation"] = [list(map(int, polygon)) for polygon in item["segmentation"]]
    records = open_annotations(write(tmp_path, data)).to_dataset_dicts("root")
    lists = [item["bbox"] for record in records for item in record["annotations"]]
    masks = [item.get("segmentation") for record in records for item in record["annotations"]]
    lists += [polygon for mask in masks if type(mask) is list for polygon in mask]
    assert len(lists) > 10
    assert {type(value) for values in lists for value in values} == {float}
