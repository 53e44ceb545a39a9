"""Test that evaluators warn if the test loader omits or repeats images of a registered dataset."""

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from seesaw_d2.evaluation import ClassificationEvaluator
from seesaw_d2.evaluation.semantic_evaluator import SemanticEvaluator
from seesaw_d2.evaluation.tested_images import warn_of_images

NAME = "tested_images"
KINDS = ("absent", "repeated", "unknown")
# Indices of the tested images, and the kinds of images that the warning names.
CASES = [
    ([0, 1, 2, 3], ()),
    ([3, 1, 0, 2], ()),
    ([0, 1, 2], ("absent",)),
    ([0, 1, 2, 3, 3], ("repeated",)),
    ([0, 0, 1, 2], ("absent", "repeated")),
    ([0, 1, 2, 3, 4], ("unknown",)),
]


@pytest.fixture
def catalog():
    yield DatasetCatalog
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
    MetadataCatalog.pop(NAME, None)


def named(caplog):
    """Return the kinds of images that the warning names, and remove the warning."""
    warned = [record.getMessage() for record in caplog.records if "test loader" in record.getMessage()]
    caplog.clear()
    assert len(warned) <= 1
    return tuple(kind for kind in KINDS if warned and f"1 {kind} images with the ids" in warned[0])


@pytest.mark.parametrize(("shown", "expected"), CASES)
def test_classification(shown, expected, catalog, caplog):
    records = [{"image_id": f"{i}.png", "annotations": [{"category_id": i % 2}]} for i in range(5)]
    catalog.register(NAME, lambda: records[:4])
    MetadataCatalog.get(NAME).set(thing_classes=["a", "b"], evaluator_type="classification")
    evaluator = ClassificationEvaluator(NAME, train_count=lambda: None)
    for index in shown:
        item = {"label": index % 2, "image_id": records[index]["image_id"]}
        evaluator.process([item], [{"probabilities": torch.tensor([0.4, 0.6])}])
    evaluator.evaluate()
    assert named(caplog) == expected


@pytest.mark.parametrize(("shown", "expected"), CASES)
def test_semantic(shown, expected, catalog, caplog, tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for path in paths:
        Image.fromarray(np.zeros((2, 2), np.uint8)).save(path)
    catalog.register(NAME, lambda: [{"sem_seg_file_name": path} for path in paths[:4]])
    evaluator = SemanticEvaluator(NAME, num_classes=2)
    for _ in range(2):  # the second pass begins anew
        evaluator.reset()
        for index in shown:
            evaluator.process([{"sem_seg_file_name": paths[index]}], [{"sem_seg": torch.zeros(2, 2, 2)}])
        evaluator.evaluate()
        assert named(caplog) == expected


def test_images_without_ids_are_not_compared(catalog, caplog):
    catalog.register(NAME, lambda: [{"annotations": [{"category_id": 0}]}])
    MetadataCatalog.get(NAME).set(thing_classes=["a"])
    for item in ({"label": 0}, {"label": 0, "image_id": "other.png"}):
        evaluator = ClassificationEvaluator(NAME, train_count=lambda: None)
        evaluator.process([item] * 2, [{"probabilities": torch.ones(1)}] * 2)
        assert evaluator.evaluate()["classification"]["overall"] == 100
    assert named(caplog) == ()


def test_ids_of_several_types(caplog):
    warn_of_images("data", [10, 9, 2], ["x", 9, 9, 2, 2], "")
    (message,) = [record.getMessage() for record in caplog.records]
    for part in ("1 absent images with the ids 10", "2 repeated images with the ids 2, 9", "1 unknown", "ids x"):
        assert part in message
