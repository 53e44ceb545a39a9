"""Test the classification of ground-truth boxes: the summary, and the scores of the classifier."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from detectron2.modeling import build_model

from seesaw_d2.data import build_test_loader, load_dataset, register_datasets
from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.box_classification import Classification, check_heads, classify_ground_truth
from seesaw_d2.train import load_config, main


def test_summary_counts():
    found = Classification(
        labels=np.array([0, 0, 0, 2]),
        predicted=np.array([0, 2, 2, 2]),
        lost=np.array([False, True, False, True]),
        scores=np.array([0.9, 0.0, 0.04, 1.0]),
    )
    summary = found.summary(["a", "b", "c"], np.array([0, 1, 2]))
    assert summary["groups"]["rare"]["accuracy"] == pytest.approx(100 / 3)
    assert summary["groups"]["rare"]["background"] == pytest.approx(100 / 3)
    assert np.isnan(summary["groups"]["common"]["accuracy"])
    assert summary["groups"]["frequent"] == {
        "objects": 1,
        "accuracy": 100,
        "background": 100,
        "histogram": [0] * 19 + [1],
    }
    assert summary["confusions"] == [["a", "c", 2]]
    assert [row["name"] for row in summary["categories"]] == ["a", "c"]


@pytest.mark.parametrize("heads", ["SeesawROIHeads", "StandardROIHeads", "SeesawCascadeROIHeads"])
def test_every_object_is_classified(config_file, heads):
    cfg = load_config(str(config_file), ["MODEL.ROI_HEADS.NAME", heads])
    register_datasets(cfg)
    name = cfg.DATASETS.TEST[0]
    model = build_model(cfg)
    records = load_dataset(name)
    found = classify_ground_truth(model, build_test_loader(cfg, name), records)
    assert sorted(found.labels) == sorted(item["category_id"] for r in records for item in r["annotations"])
    assert model.training
    # One classifier that always predicts category 3, and one that always predicts background.
    for predictor in model.roi_heads.box_predictor if "Cascade" in heads else [model.roi_heads.box_predictor]:
        with torch.no_grad():
            predictor.cls_score.weight.zero_()
            predictor.cls_score.bias.zero_()
            predictor.cls_score.bias[3] = 5.0
    found = classify_ground_truth(model, build_test_loader(cfg, name), records)
    assert (found.predicted == 3).all()
    assert (found.scores[found.labels == 3] > found.scores[found.labels != 3].max()).all()


def test_probabilities_that_are_not_finite(config_file):
    cfg = load_config(str(config_file))
    register_datasets(cfg)
    name = cfg.DATASETS.TEST[0]
    model = build_model(cfg)
    torch.nn.init.constant_(model.roi_heads.box_predictor.cls_score.bias, float("nan"))
    with pytest.raises(DataError, match=r"TEST\.CLASSIFICATION_ACCURACY: .* images with ids \d.*MODEL\.WEIGHTS"):
        classify_ground_truth(model, build_test_loader(cfg, name), load_dataset(name))


def test_written_beside_the_results(config_file):
    assert main(["--config-file", str(config_file), "TEST.CLASSIFICATION_ACCURACY", "True"]) == 0
    (path,) = config_file.parent.glob("run/inference/*/classification.json")
    summary = json.loads(path.read_text())
    assert set(summary["groups"]) == {"all", "rare", "common", "frequent"}
    assert sum(summary["groups"]["all"]["histogram"]) == summary["groups"]["all"]["objects"] == 18
    # An evaluation without this key replaces the results. The file would belong to other weights.
    weights = ["MODEL.WEIGHTS", str(config_file.parent / "run/model_final.pth")]
    assert main(["--config-file", str(config_file), "--eval-only", *weights]) == 0
    assert (path.parent / "results.json").exists()
    assert not path.exists()


def test_the_groups_are_those_of_apr(config_file, tmp_path):
    """In LVIS's files, the field ``frequency`` determines the groups, not the images of DATASETS.TRAIN."""
    entries = yaml.safe_load(config_file.read_text())["DATASETS"]["REGISTER"]
    data = json.loads(Path(entries[1]["JSON"]).read_text())
    for category in data["categories"]:
        category["frequency"] = "f" if category["id"] == data["categories"][0]["id"] else "c"
    entries[1] |= {"NAME": f"{tmp_path.name}_other_groups", "JSON": str(tmp_path / "other_groups.json")}
    Path(entries[1]["JSON"]).write_text(json.dumps(data))
    words = ["DATASETS.REGISTER", str(entries), "DATASETS.TEST", str((entries[1]["NAME"],)), "SOLVER.MAX_ITER", "1"]
    words += ["DATASETS.FREQUENCY_THRESHOLDS", "(10, 100)"]
    assert main(["--config-file", str(config_file), "TEST.CLASSIFICATION_ACCURACY", "True", *words]) == 0
    (path,) = config_file.parent.glob("run/inference/*/classification.json")
    groups = json.loads(path.read_text())["groups"]
    first = data["categories"][0]["id"]
    frequent = sum(annotation["category_id"] == first for annotation in data["annotations"])
    objects = {name: values["objects"] for name, values in groups.items()}
    assert objects == {"all": 18, "rare": 0, "common": 18 - frequent, "frequent": frequent}


def test_other_heads_are_refused():
    with pytest.raises(ConfigError, match=r"TEST\.CLASSIFICATION_ACCURACY: .*StandardROIHeads.*'Linear'"):
        check_heads(torch.nn.Linear)
