"""Test that metrics from stored proposals equal the metrics of an evaluation of the model."""

import dataclasses

import numpy as np
import pytest
import torch
from detectron2.evaluation import inference_on_dataset

from seesaw_d2.choosing import sweep
from seesaw_d2.choosing.detecting import Limits, all_detections
from seesaw_d2.choosing.evaluated_images import EvaluatedImages
from seesaw_d2.choosing.recording import limits_of, record, scoring_of
from seesaw_d2.data import build_test_loader, register_datasets
from seesaw_d2.evaluation import Detections, build_evaluator
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train import load_config


@pytest.fixture
def recorded(config_file, tmp_path):
    cfg = load_config(str(config_file), ["TEST.LVIS_METRICS", "['fixed']", "MODEL.MASK_ON", "False"])
    register_datasets(cfg)
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    loader = build_test_loader(cfg, cfg.DATASETS.TEST[0])
    return cfg, model, record(model, (each for batch in loader for each in batch), tmp_path / "stored", {})


def test_the_evaluators_metrics(recorded):
    cfg, model, stored = recorded
    name = cfg.DATASETS.TEST[0]
    expected = inference_on_dataset(model, build_test_loader(cfg, name), build_evaluator(cfg, name))["bbox"]
    found = EvaluatedImages(cfg, name).metrics(all_detections(stored, scoring_of(model), limits_of(model)))
    assert {key: found[key] for key in expected} == pytest.approx(expected, nan_ok=True, abs=0)
    assert "AP_fixed" in expected


def test_some_images(recorded):
    """Test that objects in images that were not evaluated do not count as missed."""
    cfg, _, stored = recorded
    name, chosen = cfg.DATASETS.TEST[0], stored.image_ids[:1]
    whole = EvaluatedImages(cfg, name)
    perfect = perfect_detections(whole, chosen)
    assert EvaluatedImages(cfg, name, chosen).metrics(perfect)["AP"] == pytest.approx(100)
    assert whole.metrics(perfect)["AP"] < 100


def test_a_negative_number_of_detections_means_no_limit_of_the_model(recorded):
    """Test TEST.DETECTIONS_PER_IMAGE -1, with which Detectron2's models keep all detections."""
    cfg, model, stored = recorded
    found = []
    for count in (300, -1):
        cfg.TEST.DETECTIONS_PER_IMAGE = count
        name = cfg.DATASETS.TEST[0]
        expected = inference_on_dataset(model, build_test_loader(cfg, name), build_evaluator(cfg, name))["bbox"]
        images = EvaluatedImages(cfg, name).metrics(all_detections(stored, scoring_of(model), limits_of(model)))
        found += [expected, {key: images[key] for key in expected}]
    assert found[0]["AP"] > 0
    for other in found[1:]:
        assert other == pytest.approx(found[0], nan_ok=True, abs=0)
    with pytest.raises(ValueError, match=r"limit: .* -1"):
        Detections.empty(masks=False).best_per_image(-1)


def perfect_detections(images, image_ids):
    """Return the ground-truth objects of the given images as detections."""
    truth, ids = images._ground_truth, images._category_ids.tolist()
    items = [item for item in truth.dataset["annotations"] if item["image_id"] in image_ids]
    return dataclasses.replace(
        Detections.empty(masks=False),
        image_ids=np.array([item["image_id"] for item in items]),
        category_ids=np.array([ids.index(item["category_id"]) for item in items]),
        scores=np.ones(len(items)),
        boxes=np.array([item["bbox"] for item in items], dtype=float),
    )


def test_another_config_in_the_same_process(monkeypatch):
    """Test a notebook that removes the output folder and evaluates the same images with another config."""
    monkeypatch.setattr(sweep, "EvaluatedImages", lambda cfg, *_: cfg)
    monkeypatch.setattr(sweep, "compute", lambda stored, _: sweep._evaluated(stored, (1, 2)))
    for cfg in (load_config(), load_config("", ["DATASETS.FREQUENCY_THRESHOLDS", "(3, 4)"])):
        stored = sweep.Stored(cfg, "data", "folder", Limits(0.0, 0.5, 300))
        assert list(sweep.run_all(stored, [sweep.Work([], [])] * 2, 1, "title")) == [cfg, cfg]
