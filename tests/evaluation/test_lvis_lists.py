"""Test the warnings about lists of the LVIS format that do not fit the annotations."""

import logging

import pytest

from seesaw_d2.data import read_annotations
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.evaluate import check_applicable
from seesaw_d2.evaluation.ground_truth_rules import ground_truth_with_groups
from seesaw_d2.utils import messages
from tests.data.toy import toy_data, write


def lvis_data(**negative):
    """Return the toy data with lists, without category 7 in image 13."""
    data = toy_data()
    data["annotations"] = [item for item in data["annotations"] if (item["image_id"], item["category_id"]) != (13, 7)]
    for image in data["images"]:
        lists = {"neg_category_ids": negative.get(f"image{image['id']}", []), "not_exhaustive_category_ids": []}
        image |= {**lists, "coco_url": f"http://x/val/{image['file_name']}"}
    return data


@pytest.mark.parametrize(
    ("negative", "words"),
    [
        ({"image13": [7]}, None),
        ({}, ("all 4 images",)),
        ({"image13": [3, 7], "image10": [7]}, ("annotation ids 101, 106: ",)),
    ],
)
def test_lists_that_do_not_fit(tmp_path, caplog, monkeypatch, negative, words):
    monkeypatch.setattr(messages, "_already_logged", set())
    path = write(tmp_path, lvis_data(**negative))
    with caplog.at_level(logging.WARNING):
        ground_truth_with_groups(read_annotations(path), None)
    found = [text for text in caplog.messages if "neg_category_ids" in text]
    assert len(found) == (words is not None)
    for word in words or ():
        assert found[0].startswith(f"{path}: ")
        assert word in found[0]


@pytest.mark.parametrize("value", [None, 5, ["x"]])
def test_other_values_of_optional_fields(tmp_path, value):
    """Test that coco_url and synset may have any value, because only the metrics minival and coco read them."""
    data = lvis_data()
    for item in (*data["images"], *data["categories"]):
        item |= {"coco_url": value, "synset": value}
    truth = ground_truth_with_groups(read_annotations(write(tmp_path, data), "lvis"), None)
    for name in ("minival", "coco"):
        with pytest.raises(ConfigError, match=name):
            check_applicable(truth, [name])
