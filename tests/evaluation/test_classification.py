"""Test accuracy by shots and calibration error: identities, and values computed by hand."""

import csv

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation import ClassificationEvaluator
from seesaw_d2.evaluation.classification_metrics import (
    calibration_bins,
    expected_calibration_error,
    shot_accuracy,
)

GROUPS = np.array([2, 1, 0, 0])


def test_shots_are_means_over_classes():
    confusion = np.array([[8, 2, 0, 0], [1, 3, 0, 0], [0, 0, 1, 1], [4, 0, 0, 0]])
    found = shot_accuracy(confusion, GROUPS)
    assert found == pytest.approx({"overall": 60.0, "many": 80.0, "medium": 75.0, "few": 25.0})


def test_classes_without_test_images_and_unknown_groups():
    confusion = np.array([[2, 0, 0, 0], [0, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]])
    found = shot_accuracy(confusion, GROUPS)
    assert (found["many"], found["few"]) == (100.0, 100.0)
    assert np.isnan(found["medium"])
    assert np.isnan(shot_accuracy(confusion, None)["few"])


def test_calibration_by_hand():
    """Test ECE by hand: of two images each with confidence 0.9 and 0.3, one is right: ECE = (0.4 + 0.2) / 2."""
    bins = calibration_bins(np.array([0.9, 0.9, 0.3, 0.3]), np.array([True, False, True, False]))
    assert expected_calibration_error(bins) == pytest.approx(30.0)


def test_what_is_as_sure_as_right_is_calibrated():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.1, 1, 200_000)
    correct = rng.uniform(size=len(confidence)) <= confidence
    assert expected_calibration_error(calibration_bins(confidence, correct)) < 0.5


def test_evaluator_writes_its_tables(tmp_path):
    MetadataCatalog.get("labelled_toy").set(thing_classes=list("abcd"))
    counts = np.array([500, 50, 5, 0])
    evaluator = ClassificationEvaluator("labelled_toy", train_count=lambda: counts, output_dir=str(tmp_path))
    logits = torch.tensor([[3.0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]])
    outputs = [{"probabilities": row} for row in logits.softmax(dim=1)]
    evaluator.process([{"label": label, "image_id": f"{i}.png"} for i, label in enumerate((0, 2, 2))], outputs)
    metrics = evaluator.evaluate()["classification"]
    assert metrics["overall"] == pytest.approx(100 * 2 / 3)
    answers = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [tuple(row.values())[:3] for row in answers] == [
        ("0.png", "a", "a"),
        ("1.png", "c", "c"),
        ("2.png", "c", "b"),
    ]
    assert float(answers[0]["confidence"]) == pytest.approx(logits[0].softmax(0)[0].item(), abs=1e-4)
    assert metrics["few"] == pytest.approx(50.0)
    rows = list(csv.DictReader((tmp_path / "per_class.csv").open()))
    assert [row["shots"] for row in rows] == ["many", "medium", "few", "few"]
    assert rows[2]["accuracy"] == "50.0"
    (confusion,) = csv.DictReader((tmp_path / "confusion.csv").open())
    assert confusion == {"class": "c", "called": "b", "images": "1"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_probabilities_that_are_not_finite(tmp_path, value):
    MetadataCatalog.get("labelled_nan").set(thing_classes=list("ab"))
    evaluator = ClassificationEvaluator("labelled_nan", train_count=lambda: None, output_dir=str(tmp_path))
    outputs = [{"probabilities": torch.tensor(row)} for row in ([0.4, 0.6], [0.5, value])]
    evaluator.process([{"label": 1, "image_id": f"{i}.png"} for i in range(2)], outputs)
    with pytest.raises(DataError, match=r"labelled_nan: .* 1\.png\."):
        evaluator.evaluate()
    assert not list(tmp_path.iterdir())


def test_a_model_with_more_classes_than_the_data_set():
    """Test that predictions of class 2 of a dataset with two classes do not count as predictions of other classes."""
    MetadataCatalog.get("labelled_pair").set(thing_classes=list("ab"))
    evaluator = ClassificationEvaluator("labelled_pair", train_count=lambda: None)
    evaluator.process([{"label": 0}], [{"probabilities": torch.tensor([0.1, 0.2, 0.7])}])
    with pytest.raises(ConfigError, match=r"MODEL\.CLASSIFIER\.NUM_CLASSES: .* below 2, found class index 2.*pair"):
        evaluator.evaluate()
