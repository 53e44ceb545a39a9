import json
import math

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from lvis import LVIS, LVISResults

from seesaw_d2.compat import lvis_eval_class
from seesaw_d2.data import load_dataset, register_datasets
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation import METRICS, LongTailEvaluator, build_evaluator
from tests.data.toy import entry, make_cfg, square, toy_data, write
from tests.evaluation.predictions import evaluate, predict
from tests.shared import shared_path


@pytest.fixture
def coco38():
    root = shared_path("data/coco38")
    entries = [
        entry(f"coco38_eval_{split}", root / f"lvis_{split}.json", root / "images") for split in ("train", "val")
    ]
    cfg = make_cfg(*entries, train=["coco38_eval_train"], test=["coco38_eval_val"])
    register_datasets(cfg)
    return cfg


@pytest.fixture
def toy(tmp_path, request):
    def make(data=None, train=None, **options):
        number = len(list(tmp_path.iterdir()))
        names = [f"{split}_{request.node.name}_{number}" for split in ("train", "val")]
        contents = (train or toy_data(), data or toy_data())
        files = [write(tmp_path, *pair) for pair in zip(contents, names, strict=True)]
        entries = [entry(name, file, tmp_path) for name, file in zip(names, files, strict=True)]
        cfg = make_cfg(*entries, train=names[:1], test=names[1:], OUTPUT_DIR=str(tmp_path / "out"), **options)
        register_datasets(cfg)
        return cfg, names[1], load_dataset(names[1])

    return make


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


def noisy(record):
    """Predictions with errors of every kind: moved, doubled, of a wrong class, of any score."""
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
    """Its own evaluator, on data that it can evaluate, has the same numbers."""
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


def test_without_a_config(toy):
    _, name, records = toy()
    results = evaluate(LongTailEvaluator(name, distributed=False), records)
    assert results["bbox"]["AP"] == results["segm"]["AP"] == pytest.approx(100)
    # COCO's files have no groups.
    assert math.isnan(results["bbox"]["APr"])
    results = evaluate(LongTailEvaluator(name, frequency={3: "r", 7: "f"}), records)
    assert results["bbox"]["APr"] == results["bbox"]["APf"] == pytest.approx(100)


def test_no_images(toy):
    cfg, name, _ = toy()
    evaluator = build_evaluator(cfg, name)
    evaluator.reset()
    assert evaluator.evaluate() == {}


def test_image_that_was_not_evaluated_counts_as_missed(toy):
    cfg, name, records = toy()
    results = evaluate(build_evaluator(cfg, name), records[:3])
    assert 60 < results["bbox"]["AP"] < 90


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
    # The file's own letters hold with LVIS's thresholds only.
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


def test_without_annotations_the_submission_is_written(toy, tmp_path, caplog):
    cfg, name, records = toy()
    data = toy_data()
    del data["annotations"]
    test_cfg, test_name, _ = toy(data)
    with caplog.at_level("INFO"):
        assert evaluate(build_evaluator(test_cfg, test_name), records) == {}
    (path,) = (tmp_path / "out/inference" / test_name).iterdir()
    assert path.name == "lvis_submission.json"
    assert f"{path} holds 9 detections (masks) in the format of LVIS's evaluation server" in caplog.text
    entries = json.loads(path.read_text())
    assert all(set(entry) == {"image_id", "category_id", "score", "segmentation"} for entry in entries)
    assert {entry["category_id"] for entry in entries} == {3, 7}
    # The server runs lvis-api with its own annotations on it.
    ground_truth = build_evaluator(cfg, name)._lvis_api
    evaluation = lvis_eval_class()(ground_truth, LVISResults(ground_truth, str(path)), "segm")
    evaluation.run()
    assert evaluation.get_results()["AP"] == pytest.approx(1)


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
    # As lvis-api has it: an object is there if it has an area, whatever its box.
    data["annotations"].append({"id": 300, "image_id": 10, "category_id": 3, **square(1, 1, 0), "area": 4})
    cfg, name, records = toy(data)
    assert 50 < evaluate(build_evaluator(cfg, name), records)["bbox"]["AP"] < 100


def test_class_that_the_data_set_lacks(toy):
    cfg, name, records = toy()
    records[0]["annotations"][0]["category_id"] = 2
    with pytest.raises(ConfigError, match=r"MODEL\.ROI_HEADS\.NUM_CLASSES: expected 2"):
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

    with pytest.raises(ConfigError, match=r"DATASETS\.TEST: no data set is called"):
        build_evaluator(make_cfg(), "nothing")
    with pytest.raises(ConfigError, match=r"evaluator type 'sem_seg'"):
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
    assert "left out" in caplog.text
