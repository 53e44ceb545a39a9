"""Test the evaluator with special data: only boxes, crowds, unknown groups, no annotations."""

import json
import math
import re

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from lvis import LVISResults

from seesaw_d2.compat import lvis_eval_class
from seesaw_d2.data import load_dataset, read_annotations
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation import build_evaluator
from seesaw_d2.evaluation.ground_truth_rules import ground_truth_with_groups
from tests.data.toy import make_cfg, square, toy_data, write
from tests.evaluation.predictions import evaluate, predict
from tests.shared import shared_path


def test_boxes_only(toy):
    cfg, name, records = toy(MODEL__MASK_ON=False)
    assert list(evaluate(build_evaluator(cfg, name), records, masks=False)) == ["bbox"]
    data = toy_data()
    del data["annotations"][0]["segmentation"]
    cfg, name, records = toy(data)
    for record in records:
        for item in record["annotations"]:
            item.setdefault("segmentation", [[0, 0, 0, 9, 9, 9]])
    assert list(evaluate(build_evaluator(cfg, name), records)) == ["bbox"]


def test_crowds_are_ignored(toy):
    data = toy_data()
    crowd = {"size": [40, 60], "counts": [0, 40 * 20, 40 * 40]}
    box = {"bbox": [0, 0, 20, 40], "segmentation": crowd, "iscrowd": 1}
    data["annotations"].append({"id": 200, "image_id": 11, "category_id": 7, **box})
    cfg, name, records = toy(data)
    results = evaluate(build_evaluator(cfg, name), records)
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["segm"]["AP"] == pytest.approx(100)


def test_annotation_id_zero_can_be_found(toy):
    data = toy_data()
    data["annotations"][0]["id"] = 0
    cfg, name, records = toy(data)
    assert evaluate(build_evaluator(cfg, name), records)["bbox"]["AP"] == pytest.approx(100)


def test_missing_area_is_computed(toy):
    data = toy_data()
    for item in data["annotations"]:
        del item["area"]
    cfg, name, records = toy(data)
    results = evaluate(build_evaluator(cfg, name), records)
    assert results["segm"]["APs"] == pytest.approx(100)
    assert math.isnan(results["segm"]["APm"])


def test_false_positives_count_in_coco_format(toy):
    cfg, name, records = toy()
    for item in records[1]["annotations"]:
        item["category_id"] = 0
    assert evaluate(build_evaluator(cfg, name), records)["bbox"]["AP"] < 90


def test_groups_from_training_data(toy):
    train = toy_data(4)
    train["annotations"] = [item for item in train["annotations"] if item["category_id"] == 3 or item["id"] == 101]
    cfg, name, records = toy(train=train, DATASETS__FREQUENCY_THRESHOLDS=[1, 3])
    results = evaluate(build_evaluator(cfg, name), records)["bbox"]
    assert results["APr"] == results["APf"] == pytest.approx(100)
    assert math.isnan(results["APc"])
    # The groups in the file are used only with LVIS's thresholds.
    data = toy_data()
    for category in data["categories"]:
        category["frequency"] = "c"
    for thresholds, group in (((10, 100), "APc"), ((1, 3), "APf")):
        cfg, name, records = toy(data, DATASETS__FREQUENCY_THRESHOLDS=list(thresholds))
        results = evaluate(build_evaluator(cfg, name), records)["bbox"]
        assert [key for key in ("APr", "APc", "APf") if not math.isnan(results[key])] == [group]


def test_groups_unknown(toy, caplog):
    cfg, name, records = toy()
    cfg.DATASETS.TRAIN = ()
    results = evaluate(build_evaluator(cfg, name), records)["bbox"]
    assert results["AP"] == pytest.approx(100)
    assert all(math.isnan(results[key]) for key in ("APr", "APc", "APf"))
    assert "DATASETS.TRAIN" in caplog.text


@pytest.mark.parametrize(
    ("frequency", "words"),
    [
        ({}, "3, 7.*None"),
        ({3: "r"}, "7.*None"),
        ({3: "rare", 7: "f"}, "3.*'rare'"),
        ({"3": "r", "7": "f"}, "3, 7.*None"),
    ],
)
def test_incomplete_groups_are_refused(tmp_path, frequency, words):
    file = read_annotations(write(tmp_path, toy_data()))
    with pytest.raises(DataError, match=rf"toy\.json: category ids {words}"):
        ground_truth_with_groups(file, frequency)


def test_without_annotations_the_submission_is_written(toy, tmp_path, caplog):
    cfg, name, records = toy()
    data = toy_data()
    del data["annotations"]
    test_cfg, test_name, _ = toy(data)
    with caplog.at_level("INFO"):
        assert evaluate(build_evaluator(test_cfg, test_name), records) == {}
    (path,) = (tmp_path / "out/inference" / test_name).iterdir()
    assert path.name == "lvis_submission.json"
    assert all(text in caplog.text for text in (str(path), "9 detections", "masks"))
    entries = json.loads(path.read_text())
    assert all(set(entry) == {"image_id", "category_id", "score", "segmentation"} for entry in entries)
    assert {entry["category_id"] for entry in entries} == {3, 7}
    # Evaluate the submission as the server does: with lvis-api and the annotations.
    ground_truth = build_evaluator(cfg, name)._lvis_api
    evaluation = lvis_eval_class()(ground_truth, LVISResults(ground_truth, str(path)), "segm")
    evaluation.run()
    assert evaluation.get_results()["AP"] == pytest.approx(1)


def test_an_incomplete_submission_is_told(toy, caplog):
    data = toy_data()
    del data["annotations"]
    cfg, name, records = toy(data)
    for record in records:
        record["annotations"] = []
    for shown in (records, [records[0], *records[:-1]]):
        caplog.clear()
        evaluate(build_evaluator(cfg, name), shown)
        ids = [
            f"absent images with the ids {records[-1]['image_id']}",
            f"repeated images with the ids {shown[0]['image_id']}",
        ]
        assert [text in caplog.text for text in ids] == [shown is not records] * 2
    stranger = {**records[0], "image_id": 999}
    caplog.clear()
    evaluate(build_evaluator(cfg, name), [*records, stranger])
    assert "unknown images with the ids 999" in caplog.text


def test_submission_of_boxes(toy, tmp_path):
    _, _, records = toy()
    data = toy_data()
    del data["annotations"]
    cfg, name, _ = toy(data, MODEL__MASK_ON=False)
    evaluate(build_evaluator(cfg, name), records, masks=False)
    entries = json.loads((tmp_path / "out/inference" / name / "lvis_submission.json").read_text())
    assert all(set(entry) == {"image_id", "category_id", "score", "bbox"} for entry in entries)


def test_degenerate_ground_truth_is_missed(toy):
    data = toy_data()
    # As in lvis-api, an object counts if its area is positive, for any box.
    data["annotations"].append({"id": 300, "image_id": 10, "category_id": 3, **square(1, 1, 0), "area": 4})
    cfg, name, records = toy(data)
    assert 50 < evaluate(build_evaluator(cfg, name), records)["bbox"]["AP"] < 100


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("field", ["scores", "boxes"])
def test_values_that_are_not_finite(toy, value, field):
    """Test that such a detection is not left out, as lvis-api leaves out detections without an area."""
    cfg, name, (record, *_) = toy()
    instances, evaluator = predict(record), build_evaluator(cfg, name)
    (instances.pred_boxes.tensor if field == "boxes" else instances.scores).view(-1)[0] = value
    evaluator.process([record], [{"instances": instances}])
    with pytest.raises(DataError, match=rf"finite scores and boxes.* ids {record['image_id']}\."):
        evaluator.evaluate()


def test_class_that_the_data_set_lacks(toy):
    cfg, name, records = toy()
    records[0]["annotations"][0]["category_id"] = 2
    with pytest.raises(ConfigError, match=r"MODEL\.ROI_HEADS\.NUM_CLASSES: .*index 2.* 2 "):
        evaluate(build_evaluator(cfg, name), records)


def test_built_in_lvis(tmp_path, monkeypatch):
    path = shared_path("data/lvis_v0.5_val_100.json")
    metadata = MetadataCatalog.get("lvis_v0.5_val_rand_100")
    monkeypatch.setitem(metadata.__dict__, "json_file", str(path))
    cfg = make_cfg(test=["lvis_v0.5_val_rand_100"], MODEL__MASK_ON=False)
    evaluator = build_evaluator(cfg, "lvis_v0.5_val_rand_100", str(tmp_path))
    results = evaluate(evaluator, load_dataset("lvis_v0.5_val_rand_100"), masks=False)["bbox"]
    for key in ("AP", "APr", "APc", "APf"):
        assert results[key] == pytest.approx(100)


def test_numpy_is_left_alone():
    assert lvis_eval_class() is lvis_eval_class()
    assert not hasattr(np, "float")


def test_evaluator_types(tmp_path):
    from detectron2.evaluation import COCOEvaluator

    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: .*registered"):
        build_evaluator(make_cfg(), "nothing")
    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: .*'sem_seg'"):
        build_evaluator(make_cfg(), "ade20k_sem_seg_val", str(tmp_path))
    metadata = MetadataCatalog.get("coco_2017_val_100")
    previous = metadata.json_file
    try:
        metadata.__dict__["json_file"] = write(tmp_path, toy_data())
        evaluator = build_evaluator(make_cfg(), "coco_2017_val_100", str(tmp_path))
    finally:
        metadata.__dict__["json_file"] = previous
    assert isinstance(evaluator, COCOEvaluator)


def test_a_metric_that_the_data_cannot_have_is_left_out(toy, caplog):
    cfg, name, records = toy(TEST__LVIS_METRICS=["coco", "fixed"])
    results = evaluate(build_evaluator(cfg, name), records)["bbox"]
    assert results["AP_fixed"] == pytest.approx(100)
    assert "AP_coco" not in results
    assert re.search(r'TEST\.LVIS_METRICS: .*"coco"', caplog.text)
