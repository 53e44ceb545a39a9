"""Test the metrics of the evaluator: 100 for ground truth, and equal to those of lvis-api and Detectron2."""

import json
import math

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances
from lvis import LVIS, LVISResults

from seesaw_d2.compat import lvis_eval_class
from seesaw_d2.data import load_dataset, register_datasets
from seesaw_d2.evaluation import METRICS, LongTailEvaluator, build_evaluator
from tests.data.toy import entry, make_cfg, write
from tests.evaluation.predictions import evaluate, predict
from tests.shared import shared_path


def test_ground_truth_is_perfect(coco38, tmp_path):
    records = load_dataset("coco38_eval_val")
    evaluator = build_evaluator(coco38, "coco38_eval_val", str(tmp_path))
    assert isinstance(evaluator, LongTailEvaluator)
    results = evaluate(evaluator, records)
    assert list(results) == ["bbox", "segm"]
    for metrics in results.values():
        assert tuple(metrics) == METRICS
        for name, value in metrics.items():
            # No category of coco38 is in more than 100 images.
            assert math.isnan(value) if name == "APf" else value == pytest.approx(100), name


def test_worse_than_perfect(coco38, tmp_path):
    records = load_dataset("coco38_eval_val")
    results = evaluate(build_evaluator(coco38, "coco38_eval_val", str(tmp_path)), records, shift=4.0)
    assert 0 < results["bbox"]["AP"] < 95
    assert 0 < results["segm"]["AP"] < 95


def test_absent_and_repeated_images_are_told(coco38, tmp_path, caplog):
    """Test loaders that omit or repeat an image, as samplers that divide images evenly among processes do."""
    records = load_dataset("coco38_eval_val")
    first, last = records[0]["image_id"], records[-1]["image_id"]
    repeated, absent = f"1 repeated images with the ids {first}", f"1 absent images with the ids {last}"
    for shown, kinds in (
        (records, []),
        (records[:-1], [absent]),
        ([*records, records[0]], [repeated]),
        ([records[0], *records[:-1]], [absent, repeated]),  # as many images as in the file
    ):
        caplog.clear()
        evaluate(build_evaluator(coco38, "coco38_eval_val", str(tmp_path)), shown)
        warned = [record.getMessage() for record in caplog.records if "test loader" in record.getMessage()]
        assert len(warned) == bool(kinds)
        for text in warned:
            assert f"{len(records)} images" in text
            assert f"found {len(shown)} images" in text
            assert [kind for kind in (absent, repeated) if kind in text] == kinds


def noisy(record):
    """Return predictions that are moved, duplicated or of a wrong class, with random scores."""
    parts = [predict(record, shift=shift, scores=torch.rand) for shift in (0.0, 2.0, 7.0)]
    parts[2].pred_classes = torch.randint(0, 41, (len(parts[2]),))
    return Instances.cat(parts)


@pytest.mark.parametrize("max_dets", [300, 20])
def test_equals_lvis_api(coco38, tmp_path, max_dets, caplog):
    torch.manual_seed(0)
    coco38.TEST.DETECTIONS_PER_IMAGE = max_dets
    evaluator = build_evaluator(coco38, "coco38_eval_val", str(tmp_path))
    evaluator.reset()
    for record in load_dataset("coco38_eval_val"):
        evaluator.process([record], [{"instances": noisy(record)}])
    ours = evaluator.evaluate()
    for task, drop in (("bbox", "segmentation"), ("segm", "bbox")):
        truth = LVIS(str(shared_path("data/coco38/lvis_val.json")))
        results = json.loads((tmp_path / "lvis_instances_results.json").read_text())
        results = [{key: value for key, value in item.items() if key != drop} for item in results]
        official = lvis_eval_class()(truth, LVISResults(truth, results, max_dets=max_dets), task)
        official.run()
        for name, value in ours[task].items():
            expected = official.get_results()[name]
            assert value == pytest.approx(expected * 100, abs=1e-10) if expected >= 0 else math.isnan(value), (
                task,
                name,
            )
    assert 5 < ours["bbox"]["AP"] < 95
    warned = [record for record in caplog.records if "TEST.DETECTIONS_PER_IMAGE" in record.getMessage()]
    assert len(warned) == (max_dets != 300)


def test_detectron2_agrees(coco38, tmp_path):
    """Test that Detectron2's evaluator gives the same metrics on LVIS data."""
    from detectron2.evaluation import LVISEvaluator

    lvis_eval_class()
    records = load_dataset("coco38_eval_val")
    torch.manual_seed(0)
    outputs = [noisy(record) for record in records]
    found = []
    for evaluator in (
        build_evaluator(coco38, "coco38_eval_val", str(tmp_path)),
        LVISEvaluator("coco38_eval_val", ("bbox", "segm")),
    ):
        evaluator.reset()
        evaluator.process(records, [{"instances": output} for output in outputs])
        found.append(evaluator.evaluate())
    for task in ("bbox", "segm"):
        for name in METRICS:
            assert found[0][task][name] == found[1][task][name] or found[1][task][name] < 0


def test_coco_format_is_the_same(coco38, tmp_path):
    root = shared_path("data/coco38")
    entries = []
    for split in ("train", "val"):
        data = json.loads((root / f"lvis_{split}.json").read_text())
        for image in data["images"]:
            for key in ("neg_category_ids", "not_exhaustive_category_ids", "coco_url"):
                del image[key]
        data["categories"] = [{"id": item["id"], "name": item["name"]} for item in data["categories"]]
        file = write(tmp_path, data, f"{split}.json")
        entries.append(entry(f"coco38_coco_{split}", file, root / f"images/{split}2017"))
    cfg = make_cfg(*entries, train=["coco38_coco_train"], test=["coco38_coco_val"])
    register_datasets(cfg)
    found = []
    for config, name in ((coco38, "coco38_eval_val"), (cfg, "coco38_coco_val")):
        torch.manual_seed(0)
        evaluator = build_evaluator(config, name, str(tmp_path / name))
        evaluator.reset()
        for record in load_dataset(name):
            evaluator.process([record], [{"instances": noisy(record)}])
        found.append(evaluator.evaluate())
    np.testing.assert_equal(found[0], found[1])


def test_result_file(toy, tmp_path):
    cfg, name, records = toy()
    evaluate(build_evaluator(cfg, name), records)
    folder = tmp_path / "out/inference" / name
    names = {"lvis_instances_results.json", "evaluation.json", "categories.json", "categories.csv"}
    assert {path.name for path in folder.iterdir()} == names
    results = json.loads((folder / "lvis_instances_results.json").read_text())
    assert {item["category_id"] for item in results} == {3, 7}
    first = results[0]
    assert first["image_id"] == 10
    assert first["bbox"] == [5, 5, 15, 15]
    assert isinstance(first["segmentation"]["counts"], str)
    assert first["segmentation"]["size"] == [40, 60]


def test_no_detections(toy):
    cfg, name, records = toy()
    evaluator = build_evaluator(cfg, name)
    evaluator.reset()
    for record in records:
        empty = Instances((record["height"], record["width"]))
        empty.pred_boxes, empty.scores = Boxes(torch.zeros(0, 4)), torch.zeros(0)
        empty.pred_classes = torch.zeros(0, dtype=torch.int64)
        empty.pred_masks = torch.zeros(0, record["height"], record["width"], dtype=torch.bool)
        evaluator.process([record], [{"instances": empty}])
    results = evaluator.evaluate()
    for task in ("bbox", "segm"):
        assert results[task]["AP"] == results[task]["APs"] == results[task]["APr"] == 0
        assert math.isnan(results[task]["APc"])
        assert math.isnan(results[task]["APl"])


def test_without_a_config(toy, caplog):
    cfg, name, records = toy()
    results = evaluate(LongTailEvaluator(name, distributed=False), records)
    assert results["bbox"]["AP"] == results["segm"]["AP"] == pytest.approx(100)
    # Files in COCO format have no frequency groups.
    assert math.isnan(results["bbox"]["APr"])
    (message,) = [record.getMessage() for record in caplog.records if "APr" in record.getMessage()]
    assert name in message
    caplog.clear()
    results = evaluate(LongTailEvaluator(name, frequency={3: "r", 7: "f"}), records)
    assert results["bbox"]["APr"] == results["bbox"]["APf"] == pytest.approx(100)
    results = evaluate(LongTailEvaluator(cfg, name, None), records)  # counts the images of DATASETS.TRAIN
    assert results["bbox"]["APr"] == pytest.approx(100)
    assert not [record for record in caplog.records if "APr" in record.getMessage()]


def test_no_images(toy):
    cfg, name, _ = toy()
    evaluator = build_evaluator(cfg, name)
    evaluator.reset()
    assert evaluator.evaluate() == {}


def test_image_that_was_not_evaluated_counts_as_missed(toy):
    cfg, name, records = toy()
    results = evaluate(build_evaluator(cfg, name), records[:3])
    assert 60 < results["bbox"]["AP"] < 90
