"""Test warnings about repeated image files, similar category names and unknown frequency groups."""

import pytest

from seesaw_d2.data.records.annotation_files import check_annotations
from seesaw_d2.utils.messages import collected_warnings
from tests.data.toy import toy_data


@pytest.mark.parametrize(
    ("image", "category", "found"),
    [({}, {}, []), ({"file_name": "0.jpg"}, {}, ["0.jpg"]), ({}, {"name": "Seven "}, ["'Seven ' and 'seven'"])],
)
def test_repetitions(image, category, found):
    data = toy_data()
    data["images"][1] |= image
    data["categories"][1] |= category
    with collected_warnings() as warnings:
        check_annotations(data, "x.json", "coco")
    assert [("x.json" in text, found[0] in text) for text in warnings] == [(True, True)] * len(found)


@pytest.mark.parametrize(
    ("letters", "found"),
    [
        (("r", "f"), []),
        ((None, None), []),
        (("r", None), ["found 1 categories without this field"]),
        (("r", "R"), ["found 'R' (category ids 3)"]),
        (("rare", 5), ["found 'rare', 5 (category ids 3, 7)"]),
    ],
)
def test_frequency(letters, found):
    data = toy_data()
    for category, letter in zip(data["categories"], letters, strict=True):
        category["frequency"] = letter
    with collected_warnings() as warnings:
        check_annotations(data, "x.json", "coco")
    assert [text.startswith('x.json: "frequency"') and found[0] in text for text in warnings] == [True] * len(found)
