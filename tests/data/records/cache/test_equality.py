"""Test that cached annotation files give the same records as parsing."""

import json
import os
from collections import Counter

import pytest
import torch
import yaml

from seesaw_d2.data import load_training_dicts, read_annotations, register_datasets
from seesaw_d2.data.records.cache import parallel_parsing as parts
from seesaw_d2.data.records.cache import store
from seesaw_d2.data.records.cache.lazy_dicts import CompiledRecords
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.data.records.concatenated_records import Joined, join
from seesaw_d2.data.records.records import take
from seesaw_d2.errors import DataError, SeesawError
from seesaw_d2.train import main
from seesaw_d2.utils.messages import collected_warnings
from tests.data.toy import entry, everything, make_cfg, toy_data, write, write_images
from tests.shared import shared_path

pytestmark = pytest.mark.usefixtures("cache")


def lvis(data: dict) -> dict:
    for image in data["images"]:
        image["neg_category_ids"], image["not_exhaustive_category_ids"] = [7] * (image["id"] % 2), [3, 7]
    return data


FILES = {
    "coco": everything,
    "lvis": lambda: lvis(everything()),
    "test set": lambda: {key: value for key, value in toy_data().items() if key != "annotations"},
    "no objects": lambda: {**toy_data(), "annotations": []},
}


@pytest.mark.parametrize("part", [1, 2, 10_000])
@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_records_are_those_of_the_parsed_file(tmp_path, monkeypatch, make, part):
    monkeypatch.setattr(parts, "PART", part)
    monkeypatch.setattr(store, "read_annotations", lambda *a: pytest.fail("the file was read whole"))
    path = write(tmp_path, make())
    parsed = read_annotations(path)
    for _ in range(2):  # the first iteration creates the cache, the second maps it
        file = open_annotations(path)
        assert (file.category_ids, file.category_names) == (parsed.category_ids, parsed.category_names)
        records, expected = file.to_dataset_dicts("root"), parsed.to_dataset_dicts("root")
        assert isinstance(records, CompiledRecords)
        assert list(records) == expected
        assert [list(record) for record in records] == [list(record) for record in expected]
        assert list(records[1:]) == expected[1:]
        assert records[-1] == expected[-1]
        assert list(take(records, [0, 2])) == take(expected, [0, 2])
        store._opened.clear()
    mapping = {3: 5, 7: 1}
    assert list(file.to_dataset_dicts("/x", mapping)) == parsed.to_dataset_dicts("/x", mapping)
    with pytest.raises(IndexError):
        records[len(records)]


@pytest.mark.parametrize("part", [7, 10_000])
def test_real_annotations(monkeypatch, part):
    monkeypatch.setattr(parts, "PART", part)
    path = str(shared_path("data/lvis_v0.5_val_100.json"))
    expected = read_annotations(path).to_dataset_dicts("/images")
    assert list(open_annotations(path).to_dataset_dicts("/images")) == expected


def test_objects_of_an_image_may_stand_anywhere(tmp_path, monkeypatch):
    """Test annotations in any order. Each part of the file has masks, polygons and boxes of many images."""
    monkeypatch.setattr(parts, "PART", 4)
    data = everything()
    data["annotations"].sort(key=lambda item: (item["id"] * 7) % 11)
    owners = [item["image_id"] for item in data["annotations"]]
    assert owners != sorted(owners)
    path = write(tmp_path, data)
    expected = read_annotations(path).to_dataset_dicts("root")
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_processes_gives_the_same(tmp_path, monkeypatch, workers):
    monkeypatch.setattr(parts, "PART", 2)
    monkeypatch.setattr(parts, "count_workers", lambda workers_: workers)
    path = write(tmp_path, everything())
    expected = read_annotations(path).to_dataset_dicts("root")
    processes = set()

    def joined(*arguments, join=store.to_tables):
        processes.update(os.listdir(tmp_path / "processes"))
        return join(*arguments)

    def read(checker, text, read=store.read_part):
        (tmp_path / "processes" / str(os.getpid())).touch()
        return read(checker, text)

    (tmp_path / "processes").mkdir()
    monkeypatch.setattr(store, "to_tables", joined)
    monkeypatch.setattr(store, "read_part", read)
    assert list(open_annotations(path).to_dataset_dicts("root")) == expected
    assert (processes == {str(os.getpid())}) == (workers == 1)


def test_a_process_that_dies_is_told(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(parts, "PART", 2)
    monkeypatch.setattr(parts, "count_workers", lambda workers: 2)
    monkeypatch.setattr(store, "read_part", lambda checker, text: os._exit(9))
    path = write(tmp_path, everything())
    with pytest.raises(SeesawError, match=f"{path}: .*process"):
        open_annotations(path)
    assert not [each for each in (cache / "annotations").iterdir() if each.is_dir()]


def test_parts_find_what_the_whole_finds(tmp_path, monkeypatch):
    """Test that reading in parts gives the same error message, also about ids in different parts."""
    monkeypatch.setattr(parts, "PART", 2)

    def same_id(data):
        data["annotations"][-1]["id"] = data["annotations"][0]["id"]

    def bad_boxes(data):
        for item in data["annotations"]:
            item["bbox"] = [0, 0, 1]

    def infinite(data):
        data["annotations"][3]["bbox"][0] = 10**400

    for change in (same_id, bad_boxes, infinite):
        data = everything()
        change(data)
        path = write(tmp_path, data)
        with pytest.raises(DataError) as whole:
            read_annotations(path)
        with pytest.raises(DataError) as part_by_part:
            open_annotations(path)
        assert str(part_by_part.value) == str(whole.value)

    data = everything()
    for item in data["annotations"]:
        item["bbox"][2] = 0
    path = write(tmp_path, data)
    with collected_warnings() as expected:
        read_annotations(path)
    with collected_warnings() as found:
        open_annotations(path)
    assert list(dict.fromkeys(found)) == expected != []


def test_numbers_that_no_array_holds(tmp_path):
    data = lvis(everything())
    data["images"][0]["neg_category_ids"] = [2**63]
    path = write(tmp_path, data)
    messages = []
    for read in (read_annotations, open_annotations):
        with pytest.raises(DataError, match="neg_category_ids") as error:
            read(path)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_an_image_without_the_lists_of_the_others_is_named(tmp_path):
    data = lvis(everything())
    del data["images"][1]["neg_category_ids"]
    path = write(tmp_path, data)
    for read in (read_annotations, open_annotations):
        with pytest.raises(DataError, match=r'toy.json: "neg_category_ids".* 12\).*FORMAT'):
            read(path)
        assert read(path, "lvis").category_ids == read(path, "coco").category_ids == [3, 7]


def test_several_data_sets_together(tmp_path):
    """Test several datasets. Images without trained objects are omitted, and the order of datasets stays."""
    crowd = everything()
    for item in crowd["annotations"]:
        item["iscrowd"] = int(item["image_id"] != 11)
    paths = [write(tmp_path, data, name) for data, name in ((everything(), "a.json"), (crowd, "b.json"))]
    images = write_images(tmp_path / "images", toy_data())
    names = [f"compiled_{tmp_path.name}_{letter}" for letter in "ab"]
    entries = [entry(name, path, images) for name, path in zip(names, paths, strict=True)]
    cfg = make_cfg(*entries, train=names, INPUT__MASK_FORMAT="bitmask", MODEL__MASK_ON=False)
    register_datasets(cfg)
    records = load_training_dicts(cfg)
    expected = [r for path in paths for r in read_annotations(path).to_dataset_dicts(images)]
    assert list(records) == [r for r in expected if any(not a.get("iscrowd", 0) for a in r["annotations"])]
    assert isinstance(records, Joined)
    assert len(records) == 5
    assert list(records[1:4]) == list(records)[1:4]
    assert list(records[::-1]) == list(records)[::-1]
    assert list(records[2:2]) == []
    assert records[-1] == list(records)[-1]
    with pytest.raises(IndexError):
        records[5]
    assert join([[1], [2]]) == [1, 2]


def test_trains_as_from_a_list(config_file, tmp_path, monkeypatch):
    def metrics(folder):
        assert main(["--config-file", str(config_file), "OUTPUT_DIR", str(folder), "DATALOADER.NUM_WORKERS", "2"]) == 0
        lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
        return [{k: v for k, v in line.items() if "time" not in k and "eta" not in k} for line in lines]

    compiled = metrics(tmp_path / "compiled")
    monkeypatch.setattr(store, "MIN_SIZE", 10**9)
    opened = count_openings(monkeypatch, config_file)
    listed = metrics(tmp_path / "listed")
    assert compiled == listed
    assert set(opened.values()) == {1}  # in a complete training with evaluation
    assert len(opened) == 2
    weights = [torch.load(tmp_path / name / "model_final.pth")["model"] for name in ("compiled", "listed")]
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def count_openings(monkeypatch, config_file) -> Counter:
    """Return a counter of how often each annotation file of a config is opened from now on."""
    entries = yaml.safe_load(config_file.read_text())["DATASETS"]["REGISTER"]
    files, opened = {item["JSON"] for item in entries}, Counter()
    for path in files:
        os.utime(path, (0, 0))  # set an old time, because a file that has just changed is read again
    plain = open

    def counted(file, *args, **kwargs):
        opened.update([file] if file in files else [])
        return plain(file, *args, **kwargs)

    monkeypatch.setattr("builtins.open", counted)
    return opened
