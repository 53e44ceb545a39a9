"""Test that missing, negative and zero values of COCO's field "area" are computed or reported."""

import pytest

from seesaw_d2.utils.messages import first_few
from tests.data.toy import HEIGHT, WIDTH, toy_data
from tests.evaluation.test_coco_rules import results_of, run


@pytest.mark.parametrize("area", [0, -1, -0.0, float("nan"), None, "missing"])
@pytest.mark.parametrize("which", ["all", "half"])
def test_areas_that_are_none_are_computed(tmp_path, caplog, area, which):
    data = toy_data()
    expected = run(tmp_path, data, results_of(data))["bbox"]
    wrong = data["annotations"][:: 1 if which == "all" else 2]
    for item in wrong:
        item["area"] = area
        if area == "missing":
            del item["area"]
    assert run(tmp_path, data, results_of(data))["bbox"] == pytest.approx(expected, nan_ok=True)
    (message,) = [record.getMessage() for record in caplog.records if '"area"' in record.getMessage()]
    assert first_few(item["id"] for item in wrong) in message


def test_lvis_api_leaves_objects_without_an_area_out_and_it_is_said(tmp_path, caplog):
    data = toy_data()
    results = results_of(data)
    for image in data["images"]:
        image |= {"neg_category_ids": [3, 7], "not_exhaustive_category_ids": [], "coco_url": image["file_name"]}
    data["annotations"][0]["area"] = 0
    without = {**data, "annotations": data["annotations"][1:]}
    expected = run(tmp_path, without, results)["bbox"]
    assert run(tmp_path, data, results)["bbox"] == pytest.approx(expected, nan_ok=True)
    assert "annotation ids 100: " in caplog.text


@pytest.mark.parametrize("area", [lambda item: item["area"] / (WIDTH * HEIGHT), lambda item: 100 * item["area"]])
def test_areas_in_other_units_are_said(tmp_path, caplog, area):
    data = toy_data()
    expected = run(tmp_path, data, results_of(data))["bbox"]["AP"]
    assert '"area"' not in caplog.text
    for item in data["annotations"]:
        item["area"] = area(item)
    assert run(tmp_path, data, results_of(data))["bbox"]["AP"] == pytest.approx(expected)
    assert '"area"' in caplog.text
    assert "(9 in all)" in caplog.text
