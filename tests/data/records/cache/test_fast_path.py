"""Annotations that are right in everything take a short way: it takes no others, and gives the same."""

import json

import numpy as np
import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.data.records.cache import parallel_parsing as parts
from seesaw_d2.data.records.cache import store
from seesaw_d2.data.records.cache.fast_path import simple_tables
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.errors import DataError
from tests.data.toy import everything, square, toy_data, write
from tests.shared import shared_path

pytestmark = pytest.mark.usefixtures("cache")

IMAGES, SIZES, CATEGORIES = np.arange(10, 14), np.tile([40, 60], (4, 1)), np.array([3, 7])
POLYGON = square(5, 5, 9)["segmentation"][0]
SIMPLE = {
    "a crowd": {"iscrowd": 1},
    "no crowd": {"iscrowd": 0},
    "no mask": {"segmentation": None},
    "no polygon": {"segmentation": []},
    "two polygons": {"segmentation": [POLYGON, POLYGON]},
    "integers": {"bbox": [1, 2, 3, 4], "area": 7},
    "other fields": {"attributes": {"id": "x", "segmentation": [[["é", 1e300]]]}},
    "beyond the image": {"segmentation": [[-500, 5, 599.5, 5, 5, 300]]},
}
# Wrong, or right in an unusual way.
OTHERS = {
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


@pytest.mark.parametrize("name", [*SIMPLE, *OTHERS])
def test_what_is_simple(tmp_path, name):
    data = changed((SIMPLE | OTHERS)[name])
    text = json.dumps(data["annotations"]).encode()
    assert (simple_tables(text, IMAGES, SIZES, CATEGORIES) is not None) == (name in SIMPLE)
    path = write(tmp_path, data)
    assert found(open_annotations, path) == found(read_annotations, path)


def test_not_even_annotations():
    for text in (b"", b"{}", b"[1]", b"[null]", b'[{"id": 1}]', b'[{"id": 01}]', b"[" * 100_000):
        assert simple_tables(text, IMAGES, SIZES, CATEGORIES) is None


def test_both_ways_give_the_same_arrays(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART", 100)
    data = json.loads(shared_path("data/lvis_v0.5_val_100.json").read_text())
    path = write(tmp_path, data)
    _, short = store.read_tables(path, "auto")
    monkeypatch.setattr(store, "simple_tables", lambda *a: None)
    _, long = store.read_tables(path, "auto")
    assert short.keys() == long.keys()
    for key, array in long.items():
        assert array.dtype == short[key].dtype
        np.testing.assert_array_equal(short[key], array)


def test_a_part_that_is_not_simple_changes_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART", 2)
    taken = []
    monkeypatch.setattr(parts, "count_workers", lambda workers: 1)
    monkeypatch.setattr(store, "simple_tables", lambda *a: taken.append(simple_tables(*a)) or taken[-1])
    path = write(tmp_path, everything())
    assert found(open_annotations, path) == found(read_annotations, path)
    assert {each is None for each in taken} == {True, False}
