"""Test the examples in CONTRIBUTING.md of a new annotation format and a new source of labelled images."""

import json
import re
from pathlib import Path

import pytest

from seesaw_d2.data import load_dataset, read_annotations, register_datasets
from seesaw_d2.data.classification.sources import SOURCES
from seesaw_d2.data.records.cache.store import open_annotations
from seesaw_d2.data.records.formats import FORMATS
from seesaw_d2.errors import ConfigError, DataError
from tests.data.toy import entry, make_cfg, toy_data, write, write_images

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()


def block(heading: str) -> str:
    """Return the first code block below a heading."""
    return re.search(r"```python\n(.*?)```", TEXT.split(f"## {heading}\n")[1], re.DOTALL)[1]


@pytest.fixture
def frames(monkeypatch):
    monkeypatch.setattr("seesaw_d2.data.records.formats.FORMATS", FORMATS)
    known = dict(FORMATS)
    exec(block("Adding an annotation format"), {})
    yield
    FORMATS.clear()
    FORMATS.update(known)


def frame_data() -> dict:
    data = toy_data()
    images = data.pop("images")
    return {**data, "frames": [{**image, "path": image.pop("file_name")} for image in images]}


@pytest.mark.parametrize("name", ["frames", "auto"])
def test_a_new_format_gives_the_records_of_the_same_data_in_coco(tmp_path, frames, name):
    images = write_images(tmp_path / "images", toy_data())
    path = write(tmp_path, frame_data())
    dataset = f"{tmp_path.name}_{name}"
    register_datasets(make_cfg(entry(dataset, path, images) | {"FORMAT": name}, train=[dataset]))
    expected = read_annotations(write(tmp_path, toy_data(), "coco.json")).to_dataset_dicts(images)
    assert list(load_dataset(dataset)) == expected


def test_a_large_file_of_a_new_format_is_compiled(tmp_path, frames, cache):
    path = write(tmp_path, frame_data())
    expected = read_annotations(path).to_dataset_dicts("root")
    records = open_annotations(path).to_dataset_dicts("root")
    assert not isinstance(records, list)
    assert list(records) == expected


def test_a_file_of_another_format_is_named(tmp_path, frames):
    path = write(tmp_path, toy_data())
    with pytest.raises(DataError, match="frames") as error:
        read_annotations(path, "frames")
    assert path in str(error.value)
    nameless = frame_data()
    del nameless["frames"][0]["path"]
    with pytest.raises(DataError, match='"path"'):
        read_annotations(write(tmp_path, nameless))


@pytest.fixture
def json_lines():
    exec(block("Adding a source of labelled images"), {})
    yield
    del SOURCES["JSONL"]


def test_a_new_source(tmp_path, json_lines):
    images = write_images(tmp_path / "images", toy_data())
    names = [image["file_name"] for image in toy_data()["images"]]
    rows = [{"file": name, "label": index % 2} for index, name in enumerate(names)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = f"{tmp_path.name}_jsonl"
    value = {"NAME": dataset, "JSONL": str(tmp_path / "train.jsonl"), "IMAGES": str(images), "CLASSES": 2}
    register_datasets(make_cfg(value, train=[dataset]))
    found = load_dataset(dataset)
    assert [Path(record["file_name"]).name for record in found] == [Path(name).name for name in names]
    assert [record["annotations"][0]["category_id"] for record in found] == [index % 2 for index in range(len(names))]
    for wrong in ({"SPLIT": "train"}, {"JSONL": str(tmp_path / "absent.jsonl")}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            register_datasets(make_cfg(value | wrong | {"NAME": dataset + "2"}, train=[dataset]))
