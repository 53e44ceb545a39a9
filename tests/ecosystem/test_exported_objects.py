"""Test how categories and objects of an export are converted."""

import json
import re
import unicodedata

import pytest

from seesaw_d2.data.labelling_tools.exported_objects import without_copies
from seesaw_d2.data.labelling_tools.prepare_export import prepare_export
from seesaw_d2.data.records.category_counts import first_difference
from seesaw_d2.errors import DataError
from tests.ecosystem.exports import change, command, roboflow, small

SQUARE = [[2, 2, 11, 2, 11, 11, 2, 11]]


def test_categories_that_differ(tmp_path, capsys):
    train = roboflow(tmp_path / "export", "train", slice(0, 20))
    val = roboflow(tmp_path / "export", "valid", slice(20, 32))
    arguments = [train, "--val", val, "--images", tmp_path / "export", "--output", tmp_path / "made"]
    categories = json.loads(val.read_text())["categories"]
    change(val, categories=[*categories[:-1], {**categories[-1], "name": "unicorn"}])
    status, _, err = command(capsys, *arguments)
    assert status == 2
    assert re.search(rf"{val}: .* {train} .*found .*{categories[-1]['id']} unicorn\.", err)
    # If the order differs and unused categories are missing, the categories of the training file are used.
    used = {item["category_id"] for item in json.loads(val.read_text())["annotations"]}
    change(val, categories=[item for item in reversed(categories) if item["id"] in used])
    assert command(capsys, *arguments)[0] == 0
    made = [json.loads((tmp_path / f"made/{split}.json").read_text())["categories"] for split in ("train", "val")]
    assert made[0] == made[1]
    assert len(made[0]) == len(categories) - 1


def test_categories_that_differ_only_in_their_unicode_form(tmp_path):
    names = [unicodedata.normalize(form, "bär") for form in ("NFC", "NFD")]
    exports = [small(tmp_path / name, categories=[{"id": 0, "name": name}, {"id": 1, "name": "dog"}]) for name in names]
    with pytest.raises(DataError, match=f"0 {names[1]}.* Unicode form: 0 {names[1]} .0 {names[0]}"):
        prepare_export(exports[0], tmp_path / "made", val=exports[1], images=tmp_path)
    assert "Unicode form" in first_difference(*([name, "dog"] for name in names))
    assert "Unicode form" not in first_difference(["cat"], ["dog"])


def test_what_lacks_an_image_is_listed(tmp_path, capsys):
    export = small(tmp_path / "export")
    objects = json.loads(export.read_text())["annotations"]
    val = change(small(tmp_path / "valid", names=("d.png",)), annotations=[{**objects[0], "category_id": 1}])
    change(export, images=json.loads(export.read_text())["images"][:3])
    change(export, annotations=[{**item, "category_id": 0} for item in objects[:3]])
    status, out, _ = command(capsys, export, "--val", val, "--images", tmp_path, "--output", tmp_path / "made")
    assert status == 0
    assert re.search("1 without a training image.*: dog", out)
    assert re.search("1 without a validation image.*: cat", out)


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (
            [{"id": 0, "name": "cat"}, {"id": 1, "name": "cat"}],
            '"categories": expected unique names, found repeated names: cat',
        ),
        ([{"id": 0, "name": "cat"}, {"id": 1, "name": "Cat "}], ": 'cat' and 'Cat '"),
    ],
)
def test_names_of_categories(tmp_path, categories, message):
    export = small(tmp_path / "export", categories=categories)
    try:
        found = "\n".join(prepare_export(export, tmp_path / "made").notes)
    except DataError as error:
        found = str(error)
    assert message in found


@pytest.mark.parametrize(
    ("segmentation", "other", "is_copy"),
    [
        (SQUARE, {}, True),
        (SQUARE, {"bbox": [2.0, 2.0, 9.0, 9.0], "segmentation": [[float(x) for x in SQUARE[0]]]}, True),
        (SQUARE, {"bbox": [2, 2.0000002, 9, 9]}, True),
        (SQUARE, {"iscrowd": 0}, True),
        (SQUARE, {"iscrowd": None}, True),
        (None, {"segmentation": [], "iscrowd": False}, True),
        (
            {"size": [20, 20], "counts": [42, 9, 349]},
            {"segmentation": {"counts": [42, 9.0, 349], "size": [20, 20]}},
            True,
        ),
        (SQUARE, {"iscrowd": 1, "segmentation": {"size": [20, 20], "counts": [42, 9, 349]}}, False),
        (SQUARE, {"bbox": [2, 2.01, 9, 9]}, False),
        (SQUARE, {"category_id": 0}, False),
        (SQUARE, {"segmentation": [[2, 2, 11, 2, 11, 11, 2, 10]]}, False),
    ],
)
def test_objects_that_stand_twice(segmentation, other, is_copy):
    item = {"id": 1, "image_id": 5, "category_id": 1, "bbox": [2, 2, 9, 9], "segmentation": segmentation}
    item = {key: value for key, value in item.items() if value is not None}
    notes = []
    part = without_copies({"annotations": [item, {**item, "id": 77, **other}]}, "x.json", notes)
    assert [each["id"] for each in part["annotations"]] == ([1] if is_copy else [1, 77])
    is_noted = is_copy or {*other} == {"segmentation"}
    assert [("x.json" in note, "77" in note) for note in notes] == [(True, True)] * is_noted


def test_boxes_in_other_units(tmp_path):
    export = small(tmp_path / "export")
    objects = json.loads(export.read_text())["annotations"]
    change(export, annotations=[{**item, "bbox": [0.1, 0.2, 0.5, 0.5]} for item in objects])
    with pytest.raises(DataError, match=r"x, y, width, height in pixels, found .*\[0\.1, 0\.2"):
        prepare_export(export, tmp_path / "made")
    change(export, annotations=[{**item, "bbox": [5, 6, 18, 19]} for item in objects])  # x1, y1, x2, y2
    notes = "\n".join(prepare_export(export, tmp_path / "made").notes)
    assert re.search(r"boxes.*annotation ids \d", notes)


def test_what_is_said_of_objects(tmp_path, capsys):
    """Test the notes about images without objects, empty boxes, invalid polygons, and missing masks."""
    export = small(tmp_path / "export", segmentation=SQUARE)
    objects = json.loads(export.read_text())["annotations"]
    wrong = [{**objects[0], "id": 50, "bbox": [1, 1, 0, 5]}, {**objects[0], "id": 51, "segmentation": [[1, 2, 3, 4]]}]
    change(export, annotations=[*objects[:3], *wrong, {**objects[1], "id": 52, "segmentation": []}])
    status, out, err = command(capsys, export, "--output", tmp_path / "made")
    assert (status, err) == (0, "")
    assert re.search(r"1 of \d images have no object: d\.png", out)
    assert re.search(r"result.json: .* 1 objects .*no area: annotation ids 50", out)
    assert re.search(r"fewer than 3 points.*annotation ids 51\. .* 1 objects", out)
    assert re.search(r"1 of \d objects have no mask .annotation ids 52.*MODEL.MASK_ON False", out)


@pytest.mark.parametrize("area", [0, -1, None, float("nan"), "missing"])
def test_areas_that_are_none_are_computed(tmp_path, area):
    export = small(tmp_path / "export", segmentation=SQUARE)
    objects = [{**item, "area": 81} for item in json.loads(export.read_text())["annotations"]]
    wrong = {key: value for key, value in {**objects[1], "area": area}.items() if value != "missing"}
    change(export, annotations=[objects[0], wrong, *objects[2:]])
    notes = prepare_export(export, tmp_path / "made").notes
    assert any('"area"' in note and f"annotation ids {objects[1]['id']}" in note for note in notes)
    parts = [json.loads((tmp_path / f"made/{split}.json").read_text())["annotations"] for split in ("train", "val")]
    assert [item["area"] for part in parts for item in part if item["id"] == objects[1]["id"]] == [81]


def test_areas_in_other_units_are_said(tmp_path):
    export = small(tmp_path / "export", segmentation=SQUARE)
    objects = [{**item, "area": 81} for item in json.loads(export.read_text())["annotations"]]
    change(export, annotations=objects)
    assert not any('"area"' in note for note in prepare_export(export, tmp_path / "made").notes)
    change(export, annotations=[{**item, "area": 0.01} for item in objects])
    notes = prepare_export(export, tmp_path / "other").notes
    assert any('"area"' in note for note in notes)


def test_keypoints_are_said(tmp_path):
    export = small(tmp_path / "export")
    objects = json.loads(export.read_text())["annotations"]
    assert "have keypoints" not in str(prepare_export(export, tmp_path / "made").notes)
    change(export, annotations=[{**objects[0], "keypoints": []}, {**objects[1], "keypoints": [1, 1, 2]}, *objects[2:]])
    notes = [note for note in prepare_export(export, tmp_path / "other").notes if "have keypoints" in note]
    assert len(notes) == 1
    assert re.search(rf"{export}: 1 of 4 objects .*annotation ids 1\)", notes[0])


def test_lists_of_points_are_named(tmp_path):
    export = small(tmp_path / "export", segmentation=[[2, 2], [11, 2], [11, 11]])
    with pytest.raises(DataError, match=rf"{export}.*points \[x, y\] \(annotation ids 0, 1, 2, 3\)"):
        prepare_export(export, tmp_path / "made")
