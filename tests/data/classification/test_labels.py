"""Test that the format of a file decides whether labels are class indices or class names."""

import json
import logging
import re

import numpy as np
import pytest

from seesaw_d2.data.classification.lists_and_tables import read_inaturalist, read_list, read_names, read_table
from seesaw_d2.data.classification.sources import parse_labelled_images
from seesaw_d2.errors import DataError
from seesaw_d2.utils import messages
from tests.shared import shared_path

NUMERIC = ["2", "0", "5", "01", "1e1", "\uff12", "cat"]


@pytest.fixture
def write(tmp_path):
    def write(name, *lines):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("names", [NUMERIC, list("6543210"), [f"0{i}" for i in range(7, 0, -1)]])
def test_labels_of_a_list_are_indices(write, names):
    labels = [0, 1, 2, 3, 4, 5, 6, 2]
    path = write("list.txt", *(f"{i}.png {label}" for i, label in enumerate(labels)))
    assert read_list(path, "", names).labels.tolist() == labels


@pytest.mark.parametrize("label", ["cat", "\uff17", "2.0", "1e0", "+1", "-0", "7"])
def test_labels_of_a_list_are_nothing_else(write, label):
    with pytest.raises(DataError) as error:
        read_list(write("list.txt", "a.png 0", f"b.png {label}"), "", NUMERIC)
    assert all(text in str(error.value) for text in ("list.txt", "2", label))


@pytest.mark.parametrize("numbered", [[0, 1, 2], [7, 8, 30], [2**53, 2**53 + 1, 2**53 + 2], ["a", "b", "c"]])
@pytest.mark.parametrize("names", [["2", "0", "5"], ["1", "1", "0"], [1, 2, 0], ["x", "1", "2"]])
def test_classes_of_inaturalist_are_its_categories(tmp_path, numbered, names):
    """Test that classes have the order of the category ids, for any order in the file."""
    labels = [0, 1, 1, 2, 0]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(5)],
        "annotations": [{"image_id": i, "category_id": numbered[label]} for i, label in enumerate(labels)],
        "categories": [{"id": i, "name": name} for i, name in zip(numbered, names, strict=True)][::-1],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    found = read_inaturalist(str(tmp_path / "train.json"), "")
    assert (found.labels.tolist(), list(found.names)) == (labels, list(map(str, names)))


@pytest.mark.parametrize(
    ("names", "label", "index"),
    [
        (["cat", "dog"], "dog", 1),
        (["cat", "dog"], "1", 1),
        (["cat", "dog"], "01", 1),
        (["2", "0", "5"], "5", 2),  # 5 is not an index of three classes
        (["0", "1", "2"], "2", 2),
        (["2019", "2020"], "2020", 1),
        (["2019", "2020"], "1", 1),
        (["a", "01"], "1", 1),
        (["1e1", "b"], "1e1", 0),
        (["b", "\uff12"], "\uff12", 1),
        (["nan", "inf"], "1", 1),
    ],
)
def test_labels_of_a_table_that_are_clear(write, names, label, index):
    assert read_table(write("t.csv", "path,label", f"a.png,{label}"), "", names).labels.tolist() == [index]


@pytest.mark.parametrize(
    ("names", "label", "named"),
    [
        (["2", "0", "5"], "2", "'2'"),
        (["2", "0", "5"], "0", "'0'"),
        (["1", "2", "3"], "1", "'1'"),
        (["01", "02", "03"], "01", "'01'"),
        (["01", "02", "03"], "1", "'01'"),  # a spreadsheet converts 01 to 1
        (["2.0", "1.0", "0.0"], "0", "'0.0'"),
        (["1e0", "dog"], "1", "'1e0'"),
        (["\uff11", "dog"], "1", "'\uff11'"),
        (["+1", "dog"], "1", "'+1'"),
        (["\u00b9", "dog"], "1", "'\u00b9'"),  # superscript 1
    ],
)
def test_labels_of_a_table_that_are_not_clear_are_refused(write, names, label, named):
    with pytest.raises(DataError) as error:
        read_table(write("t.csv", "path,label", f"a.png,{label}"), "", names)
    assert all(text in str(error.value) for text in ("t.csv", "line 2", repr(label), named))


@pytest.mark.parametrize(
    ("names", "labels"),
    [(["2", "0", "5"], "51"), (["2019", "2020"], ["1", "2020"]), (["1.0", "dog"], ["1.0", "0"]), (["7", "8"], "081")],
)
def test_numbers_of_which_some_are_names_and_some_indices_are_refused(write, names, labels):
    with pytest.raises(DataError) as error:
        read_table(write("t.csv", "path,label", *(f"a.png,{label}" for label in labels)), "", names)
    assert all(text in str(error.value) for text in ("t.csv", "line 3", *map(repr, labels[:2])))


@pytest.mark.parametrize(
    ("names", "labels", "indices"),
    [
        (["cat", "dog"], ["dog", "0", "1"], [1, 0, 1]),
        (["7", "8"], "788", [0, 1, 1]),
        (["0", "x", "2"], "201", [2, 0, 1]),
    ],
)
def test_names_and_indices_that_are_clear_together(write, names, labels, indices):
    found = read_table(write("t.csv", "path,label", *(f"{i}.png,{label}" for i, label in enumerate(labels))), "", names)
    assert found.labels.tolist() == indices


def test_a_name_that_is_nearly_a_class_is_named(write):
    with pytest.raises(DataError, match=r"t\.csv, line 2: .*'DOG '.*'dog'"):
        read_table(write("t.csv", "path,label", "a.png,DOG "), "", ["cat", "dog"])


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (["path,label,label", "a.png,0,1"], ["label"]),
        (["path,label", "a.png,0,1"], ["line 2", "2", "3"]),
        (["path,label,more", "a.png,0"], ["line 2", "3", "2"]),
    ],
)
def test_tables_with_more_or_fewer_fields(write, lines, texts):
    with pytest.raises(DataError) as error:
        read_table(write("t.csv", *lines), "", ["cat", "dog"])
    assert all(text in str(error.value) for text in ["t.csv", *texts])


def test_an_empty_line_among_the_names(write):
    assert read_names(write("names.txt", "cat", "dog", "", "")) == ("cat", "dog")
    with pytest.raises(DataError, match=r"names\.txt, line 2"):
        read_names(write("names.txt", "cat", "", "dog"))


@pytest.fixture
def warned(monkeypatch, caplog):
    monkeypatch.setattr(messages, "_already_logged", set())
    caplog.set_level(logging.WARNING)
    return lambda: caplog.messages


def test_images_of_several_classes_are_said(write, warned):
    read_list(write("list.txt", "a.png 0", "b.png 0", "a.png 1", "c.png 0"), "", ["cat", "dog"])
    assert [("list.txt" in line, "a.png" in line, "b.png" in line) for line in warned()] == [(True, True, False)]


def inaturalist(tmp_path, **changes):
    content = {
        "images": [{"id": i, "file_name": f"{i}.png"} for i in (1, 2)],
        "annotations": [{"image_id": 1, "category_id": 4}],
        "categories": [{"id": 4, "name": "cat"}],
    }
    (tmp_path / "train.json").write_text(json.dumps({**content, **changes}))
    return read_inaturalist(str(tmp_path / "train.json"), "")


def test_images_without_an_annotation_are_said(tmp_path, warned):
    assert inaturalist(tmp_path).files == ["1.png"]
    (line,) = warned()
    assert re.search(r"train\.json: 1 images.*2\.png", line)


@pytest.mark.parametrize(
    ("key", "value", "texts"),
    [
        ("images", [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], ["images", "1"]),
        ("categories", [{"id": 4, "name": "a"}, {"id": 4, "name": "b"}], ["categories", "4"]),
        ("categories", [{"id": 4, "name": "a"}, {"id": 1.5, "name": "b"}], ["categories", "1.5"]),
        ("categories", [{"id": 4, "name": "a"}, {"id": True, "name": "b"}], ["categories", "True"]),
    ],
)
def test_ids_that_occur_twice_or_are_none(tmp_path, key, value, texts):
    with pytest.raises(DataError) as error:
        inaturalist(tmp_path, **{key: value})
    assert all(text in str(error.value) for text in ["train.json", *texts])


def test_categories_that_are_named_like_numbers():
    folder = shared_path("reports/inat_numeric_names")
    for split, counts in (("train", [8, 4, 2]), ("val", [2, 2, 2])):
        entry = {"NAME": "x", "INATURALIST": str(folder / f"{split}.json"), "IMAGES": str(folder / "img")}
        records = parse_labelled_images(entry, "R[0]").load()
        labels = [record["annotations"][0]["category_id"] for record in records]
        assert np.bincount(labels).tolist() == counts
        assert all(
            record["file_name"].rsplit("/", 1)[1][0] == str(label)
            for record, label in zip(records, labels, strict=True)
        )


@pytest.mark.parametrize("name", [None, "", {"common": "cat"}, ["cat"], True])
def test_categories_of_inaturalist_have_names(tmp_path, name):
    path = tmp_path / "train.json"
    categories = [{"id": 3, "name": "cat"}, {"id": 8, "name": name}]
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": categories}))
    with pytest.raises(DataError, match=rf'{path}: "name" in "categories".*id 8'):
        read_inaturalist(str(path), str(tmp_path))
