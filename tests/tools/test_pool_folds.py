"""Test that pooled folds give the same metrics as one evaluation of all images."""

import copy
import json
import math

import evaluate_results
import pool_folds
import pytest

from seesaw_d2.utils import messages
from tests.data.toy import write
from tests.evaluation.generated import generate


def split_in_two(folder, change=lambda data: None):
    """Split a generated dataset into two folds with overlapping image ids. Return the folds and the complete files."""
    ground_truth, results = generate(3)
    for index, item in enumerate(results):
        item["score"] += index * 1e-6  # make scores distinct, because equal scores are ranked by image id
    whole = copy.deepcopy(ground_truth.dataset)
    for category in whole["categories"]:
        category |= {"image_count": 5, "instance_count": 7, "synset": f"{category['name']}.n.01"}
    for image in whole["images"]:
        image["coco_url"] = f"http://x/{image['id']}.png"
    folds = []
    for index in (0, 1):
        old = [image["id"] for image in whole["images"][index::2]]
        ids = {key: number for number, key in enumerate(old, 1)}
        data = copy.deepcopy(whole)
        data["images"] = [image | {"id": ids[image["id"]]} for image in data["images"] if image["id"] in ids]
        items = [item | {"image_id": ids[item["image_id"]]} for item in data["annotations"] if item["image_id"] in ids]
        data["annotations"] = items
        if index:
            change(data)
        mine = [item | {"image_id": ids[item["image_id"]]} for item in results if item["image_id"] in ids]
        folds += ["--fold", write(folder, data, f"test{index}.json"), write(folder, mine, f"results{index}.json")]
    return folds, write(folder, whole, "whole.json"), write(folder, results, "results.json")


def metrics(folder, annotations, results):
    assert evaluate_results.main(["--annotations", str(annotations), str(results), "--output", str(folder)]) == 0
    return json.loads((folder / "evaluation.json").read_text())["metrics"]


def test_pooled_is_the_whole(tmp_path):
    folds, whole, results = split_in_two(tmp_path)
    out = tmp_path / "pooled"
    assert pool_folds.main([str(out), *folds]) == 0
    pooled = metrics(tmp_path / "a", out / "annotations.json", out / "results.json")
    for task, expected in metrics(tmp_path / "b", whole, results).items():
        assert 0 < expected["APr"] < 100
        assert pooled[task] == pytest.approx(expected, abs=1e-9)


def test_results_of_other_settings_are_named(tmp_path, caplog):
    folds, *_ = split_in_two(tmp_path)
    record = tmp_path / "evaluation_settings.json"
    record.write_text('{"TEST.DETECTIONS_PER_IMAGE": ["300", "7"]}')
    assert pool_folds.main([str(tmp_path / "pooled"), *folds]) == 0
    assert f"{record}: " in caplog.text
    assert "TEST.DETECTIONS_PER_IMAGE 300" in caplog.text
    caplog.clear()
    arguments = ["--annotations", *folds[1:3], "--output", str(tmp_path / "out")]
    messages._already_logged.clear()
    assert evaluate_results.main(arguments) == 0
    assert f"{record}: " in caplog.text


def test_groups_are_those_of_the_mean_number_of_images(tmp_path):
    def change(data):
        data["categories"][0] |= {"image_count": 40, "frequency": "c"}
        data["categories"][1] |= {"image_count": 13, "frequency": "c"}

    folds, *_ = split_in_two(tmp_path, change)
    first = json.loads((tmp_path / "test0.json").read_text())
    first["categories"][0]["frequency"] = first["categories"][1]["frequency"] = "r"
    write(tmp_path, first, "test0.json")
    assert pool_folds.main([str(tmp_path / "out"), *folds]) == 0
    found = json.loads((tmp_path / "out/annotations.json").read_text())["categories"]
    assert [(c["frequency"], c["image_count"]) for c in found[:2]] == [("c", 22.5), ("r", 9)]


def test_groups_with_other_thresholds_are_named(tmp_path, caplog):
    folds, *_ = split_in_two(tmp_path, lambda data: data["categories"][0].update(image_count=40, frequency="f"))
    first = json.loads((tmp_path / "test0.json").read_text())
    first["categories"][0]["frequency"] = "r"
    write(tmp_path, first, "test0.json")
    assert pool_folds.main([str(tmp_path / "out"), *folds]) == 0
    (message,) = [text for text in caplog.messages if '"frequency"' in text]
    assert message.startswith(f"{tmp_path / 'test1.json'}: category {first['categories'][0]['name']!r}")
    assert "40" in message
    assert "'f'" in message


def same_image(data):
    data["images"][0]["coco_url"] = "http://x/1000.png"


def other_categories(data):
    data["categories"][0]["name"] = "other"


def no_counts(data):
    data["categories"][0] |= {"frequency": "r"}
    del data["categories"][0]["image_count"]


def count(value):
    def change(data):
        data["categories"][0]["image_count"] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (same_image, "1000.png"),
        (other_categories, "test1.json"),
        (no_counts, "image_count"),
        *((count(value), "test1.json: category '2'") for value in (None, "5", -1, True, [])),
    ],
)
def test_folds_that_do_not_fit_are_named(tmp_path, capsys, change, named):
    folds, *_ = split_in_two(tmp_path, change)
    assert pool_folds.main([str(tmp_path / "out"), *folds]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out/results.json").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/results.json").write_text("kept")
    assert pool_folds.main([str(tmp_path / "mine"), *folds]) == 2
    assert (tmp_path / "mine/results.json").read_text() == "kept"


@pytest.mark.parametrize("coco", [0, 1])
def test_folds_of_different_formats_are_named(tmp_path, capsys, coco):
    folds, *_ = split_in_two(tmp_path)
    data = json.loads((tmp_path / f"test{coco}.json").read_text())
    for image in data["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
        image["file_name"] = image["coco_url"].rpartition("/")[2]
    write(tmp_path, data, f"test{coco}.json")
    assert pool_folds.main([str(tmp_path / "pooled"), *folds]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("test0.json", "test1.json", "'lvis'", "'coco'", "neg_category_ids"))
    assert not (tmp_path / "pooled").exists()


def test_different_images_with_equal_names(tmp_path, capsys):
    """Test that a spelling of a path does not hide an image of two folds, and that the remedy in the error works."""
    folds, *_ = split_in_two(tmp_path)
    for fold in ("test0.json", "test1.json"):
        data = json.loads((tmp_path / fold).read_text())
        for index, image in enumerate(data["images"]):
            del image["neg_category_ids"], image["not_exhaustive_category_ids"], image["coco_url"]
            image["file_name"] = f"{'./' if fold == 'test1.json' else ''}images/{index}.png"
        write(tmp_path, data, fold)
    assert pool_folds.main([str(tmp_path / "pooled"), *folds]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("test0.json", "test1.json", "images/0.png", '"file_name"'))
    for image in data["images"]:
        image["file_name"] = f"fold1/{image['file_name']}"
    write(tmp_path, data, "test1.json")
    assert pool_folds.main([str(tmp_path / "pooled"), *folds]) == 0


def test_every_value_of_the_folds_is_kept(tmp_path):
    """Test an area of NaN, which LVIS's evaluation omits, and other values that only Python's json module writes."""

    def change(data):
        data["annotations"][0]["area"] = math.nan
        data["images"][0] |= {"owner": "\ud800", "hash": 2**70}

    folds, *_ = split_in_two(tmp_path, change)
    assert pool_folds.main([str(tmp_path / "out"), *folds]) == 0
    found, fold = (json.loads((tmp_path / name).read_text()) for name in ("out/annotations.json", "test1.json"))
    (image,) = [image for image in found["images"] if "owner" in image]
    assert (image["owner"], image["hash"]) == ("\ud800", 2**70)
    areas = [item["area"] for item in found["annotations"]]
    assert repr(areas[-len(fold["annotations"]) :]) == repr([item["area"] for item in fold["annotations"]])


def test_a_fold_that_cannot_be_read_leaves_nothing(tmp_path, capsys):
    folds, *_ = split_in_two(tmp_path)
    (tmp_path / "results1.json").write_text("[")
    assert pool_folds.main([str(tmp_path / "pooled"), *folds]) == 2
    assert "results1.json" in capsys.readouterr().err
    assert not (tmp_path / "pooled").exists()


def test_an_interrupted_call_leaves_no_results_of_an_earlier_call(tmp_path, monkeypatch):
    folds, *_ = split_in_two(tmp_path)
    out = tmp_path / "pooled"
    assert pool_folds.main([str(out), *folds]) == 0

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("seesaw_d2.evaluation.results_files.write_results", interrupted)
    assert pool_folds.main([str(out), *folds[3:], *folds[:3]]) == 130
    assert [path.name for path in out.glob("*.json")] == ["annotations.json"]


def test_a_file_in_two_folds_is_named(tmp_path, capsys):
    (_, a, b, _, c, d), *_ = split_in_two(tmp_path)
    (tmp_path / "link.json").symlink_to(a)
    for first, second in ((a, b), (str(tmp_path / "link.json"), d), (c, b)):
        assert pool_folds.main([str(tmp_path / "pooled"), "--fold", a, b, "--fold", first, second]) == 2
        assert (b if second == b and first != a else a) in capsys.readouterr().err
    assert not (tmp_path / "pooled").exists()


@pytest.mark.parametrize("field", ["segmentation", "bbox"])
@pytest.mark.parametrize("fold", [0, 1])
def test_folds_whose_results_have_different_fields_are_named(tmp_path, capsys, field, fold):
    folds, *_ = split_in_two(tmp_path)
    path = tmp_path / f"results{fold}.json"
    results = json.loads(path.read_text())
    write(tmp_path, [{key: value for key, value in item.items() if key != field} for item in results], path.name)
    assert pool_folds.main([str(tmp_path / "pooled"), *folds]) == 2
    error = capsys.readouterr().err
    assert "results0.json" in error
    assert "results1.json" in error
    assert not (tmp_path / "pooled").exists()
    write(tmp_path, [], path.name)  # a fold without detections is compatible with all folds
    assert pool_folds.main([str(tmp_path / "pooled"), *folds]) == 0
    found = json.loads((tmp_path / "pooled/results.json").read_text())
    assert all(field in item for item in found)
