"""Test warnings about image files with several frames and about similar category names."""

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
