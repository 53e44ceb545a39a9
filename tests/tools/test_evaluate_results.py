"""Test that the evaluation of a results file gives the same metrics as the evaluation after a training."""

import csv
import json

import evaluate_results
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from seesaw_d2.data import read_annotations
from seesaw_d2.evaluation.ground_truth_rules import lvis_ground_truth
from tests.data.toy import HEIGHT, WIDTH, entry, toy_data, write
from tests.evaluation.generated import perturbed
from tests.shared import shared_path


@pytest.fixture
def toy(tmp_path):
    file = write(tmp_path, toy_data())
    results = [
        {"image_id": item["image_id"], "category_id": item["category_id"], "bbox": item["bbox"], "score": 0.5}
        for item in toy_data()["annotations"]
    ]
    return file, write(tmp_path, results, "results.json"), tmp_path


def test_perfect_boxes(toy, capsys):
    file, results, folder = toy
    assert evaluate_results.main(["--annotations", file, results, "--output", str(folder / "out")]) == 0
    text = capsys.readouterr().out
    assert "images in the annotation file     4" in text
    assert "images with detections            4" in text
    assert "images evaluated" not in text
    assert "AP 100.00" in " ".join(text.split())
    found = json.loads((folder / "out/evaluation.json").read_text())
    assert found["metrics"]["bbox"]["APr"] is None  # files in COCO format have no frequency groups
    rows = list(csv.DictReader((folder / "out/categories.csv").read_text().splitlines()))
    assert [(row["id"], row["val_instances"], float(row["AP"])) for row in rows] == [
        ("3", "5", pytest.approx(100)),
        ("7", "4", pytest.approx(100)),
    ]


@pytest.mark.parametrize(("limit", "left"), [("3", 0), ("2", 1), ("1", 5)])
def test_detections_beyond_the_limit(toy, capsys, caplog, limit, left):
    file, results, _ = toy
    assert evaluate_results.main(["--annotations", file, results, "--max-dets", limit]) == 0
    assert f"detections not counted {left} " in " ".join(capsys.readouterr().out.split())
    assert (f"{left} of 9 detections are not counted" in caplog.text) == (left > 0)


def test_the_training_set_defines_the_groups_of_an_annotation_file(toy, caplog):
    file, _, folder = toy
    name = f"{folder.name}_toy"
    # The evaluated file has one object of category 3 and none of category 7.
    data = {**toy_data(), "annotations": [item for item in toy_data()["annotations"] if item["category_id"] == 3][:1]}
    data["images"] = [image for image in data["images"] if image["id"] == data["annotations"][0]["image_id"]]
    tested = write(folder, data, "tested.json")
    results = write(folder, [], "none.json")
    datasets = {
        "REGISTER": [entry(f"{name}_train", file, folder), entry(name, tested, folder)],
        "TRAIN": [f"{name}_train"],
    }
    config = write(folder, {"DATASETS": {**datasets, "FREQUENCY_THRESHOLDS": [1, 2]}}, "config.yaml")
    found = []
    for source in (["--annotations", tested], ["--dataset", name]):
        out = folder / source[0]
        assert evaluate_results.main([*source, "--config-file", config, results, "--output", str(out)]) == 0
        found.append(json.loads((out / "evaluation.json").read_text())["metrics"]["bbox"])
    assert found[0] == found[1]
    assert (found[0]["APr"], found[0]["APf"]) == (None, 0)  # the training set has more than 2 images of category 3
    caplog.clear()
    assert evaluate_results.main(["--annotations", tested, results]) == 0
    assert "tested.json: each AP is 0 or NaN" in caplog.text
    assert all(word in caplog.text for word in ("tested.json", "APr", "frequency", "--config-file"))


def test_real_lvis_with_everything(tmp_path):
    path = str(shared_path("data/lvis_v0.5_val_100.json"))
    truth = lvis_ground_truth(read_annotations(path), None)
    results = write(tmp_path, perturbed(truth, 1), "results.json")
    arguments = ["--annotations", path, results, "--metrics", "fixed", "minival", "coco"]
    found = {}
    for engine in ("hotcoco", "official"):
        assert evaluate_results.main([*arguments, "--engine", engine, "--output", str(tmp_path / engine)]) == 0
        found[engine] = json.loads((tmp_path / engine / "evaluation.json").read_text())
    first, second = (found[engine]["metrics"] for engine in found)
    assert found["official"]["evaluated"]["version"] == "LVIS v0.5"
    assert first.keys() == second.keys() == {"bbox", "segm"}
    for task, metrics in first.items():
        assert {"AP_fixed", "APr_fixed", "AP_minival", "AP_coco", "AR"} <= metrics.keys()
        values = [[m[task][name] or np.nan for name in metrics] for m in (first, second)]
        np.testing.assert_allclose(*values, rtol=0, atol=1e-9)
        # All 100 images are from val2017, and no image has more than 300 detections.
        assert metrics["AP_minival"] == pytest.approx(metrics["AP"])
        assert metrics["AP_fixed"] == pytest.approx(metrics["AP"])
        assert metrics["AP_coco"] != metrics["AP"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "lvis"], ("TEST.LVIS_ENGINE", "hotcoco, official", "'lvis'")),
        (["--metrics", "fixd"], ("TEST.LVIS_METRICS", "fixed, minival, coco, errors", "'fixd'")),
        (["--metrics", "minival"], ("TEST.LVIS_METRICS", "minival", "val2017")),
        (["--metrics", "coco"], ("TEST.LVIS_METRICS", "coco", "synset")),
        (["--max-dets", "0"], ("--max-dets", "0")),
    ],
)
def test_wrong_turns_are_named_and_write_nothing(toy, capsys, arguments, words):
    file, results, folder = toy
    out = folder / "out"
    assert evaluate_results.main(["--annotations", file, results, "--output", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert not out.exists()


def test_masks_cannot_be_evaluated_without_masks_of_the_objects(toy, capsys):
    _, _, folder = toy
    data = toy_data()
    masks = [mask_utils.frPyObjects(item["segmentation"], HEIGHT, WIDTH)[0] for item in data["annotations"]]
    results = [
        {"image_id": item["image_id"], "category_id": item["category_id"], "score": 0.5, "segmentation": mask}
        for item, mask in zip(data["annotations"], masks, strict=True)
    ]
    for mask in masks:
        mask["counts"] = mask["counts"].decode()
    results = write(folder, results, "masks.json")
    data["annotations"][0]["segmentation"] = []
    out = folder / "out"
    assert (
        evaluate_results.main(["--annotations", write(folder, data, "boxes.json"), results, "--output", str(out)]) == 2
    )
    error = capsys.readouterr().err
    assert all(word in error for word in ("boxes.json", '"segmentation"', "ids 100", '"bbox"'))
    assert not out.exists()


def test_results_of_another_data_set(toy, capsys):
    file, _, folder = toy
    results = write(folder, [{"image_id": 1, "category_id": 3, "bbox": [1, 1, 2, 2], "score": 0.5}], "other.json")
    assert evaluate_results.main(["--annotations", file, results]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("other.json", '"image_id"', " 1"))
    assert evaluate_results.main(["--dataset", "nowhere", results]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --dataset")
    assert "'nowhere'" in error
