"""Test registered metrics: the example in CONTRIBUTING.md, metrics of both tasks, and optional metrics."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog

from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation import (
    METRIC_REGISTRY,
    ClassificationEvaluator,
    build_evaluator,
    check_options,
    evaluate_detections,
    register_metric,
)
from seesaw_d2.evaluation.results_files import detections_from_results
from tests.evaluation.generated import generate
from tests.evaluation.predictions import evaluate

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Remove the metrics that a test registers."""
    for task, metrics in METRIC_REGISTRY.items():
        monkeypatch.setitem(METRIC_REGISTRY, task, dict(metrics))


def add_example():
    """Run the code block of the section "Adding a metric"."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = re.search(r"^## Adding a metric\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)[1]
    (block,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    exec(compile(block, "CONTRIBUTING.md", "exec"), {})


def test_the_example():
    with pytest.raises(ConfigError, match="balanced"):
        check_options("hotcoco", ["balanced"])
    add_example()
    check_options("hotcoco", ["balanced"])
    ground_truth, results = generate(1)
    detections = detections_from_results(results, ground_truth, "results")
    found, _ = evaluate_detections(ground_truth, detections, "bbox", extra=["balanced"])
    assert found["AP_balanced"] == pytest.approx(np.mean([found["APr"], found["APc"], found["APf"]]))
    assert "AP_balanced" not in evaluate_detections(ground_truth, detections, "bbox")[0]


def test_a_training_returns_optional_metrics(toy):
    add_example()
    cfg, name, records = toy(TEST__LVIS_METRICS=["balanced"])
    assert "AP_balanced" in evaluate(build_evaluator(cfg, name), records)["bbox"]


def test_a_metric_of_classifiers(tmp_path):
    @register_metric("mean", "classification")
    def mean_class_accuracy(results):
        tested = results.confusion.sum(axis=1)
        return {"mean": 100 * float(np.mean(results.confusion.diagonal()[tested > 0] / tested[tested > 0]))}

    MetadataCatalog.get("labelled_registry").set(thing_classes=["a", "b", "c"])
    evaluator = ClassificationEvaluator("labelled_registry", train_count=lambda: None)
    evaluator.process([{"label": 0}, {"label": 0}, {"label": 1}], [{"probabilities": torch.eye(3)[0]}] * 3)
    found = evaluator.evaluate()["classification"]
    assert found["mean"] == pytest.approx(50)
    assert found["overall"] == pytest.approx(200 / 3)


def test_names_are_unique():
    with pytest.raises(KeyError, match="fixed"):
        register_metric("fixed", optional=True)(lambda results: {})
