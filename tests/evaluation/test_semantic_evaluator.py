"""Test mIoU by frequency group."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from seesaw_d2.errors import ConfigError, DataError
from seesaw_d2.evaluation.semantic_evaluator import PER_CLASS_FILE, SemanticEvaluator, segmentation_metrics

# Each row is a true class. The IoUs are 6 / 10, 2 / 6, undefined (no pixels in the ground truth), and 3 / 6.
CONFUSION = np.array([[6, 2, 0, 0], [1, 2, 0, 1], [0, 0, 0, 0], [1, 0, 1, 3]])


def test_metrics():
    found = segmentation_metrics(CONFUSION, np.array([2, 0, 0, 1]))
    iou = [100 * 6 / 10, 100 * 2 / 6, 100 * 3 / 6]
    expected = {
        "mIoU": np.mean(iou),
        "mIoU_rare": iou[1],
        "mIoU_common": iou[2],
        "mIoU_frequent": iou[0],
        "mACC": np.mean([75, 50, 60]),
        "pACC": 100 * 11 / 17,
    }
    assert found == pytest.approx(expected)
    assert set(segmentation_metrics(CONFUSION, None)) == {"mIoU", "mACC", "pACC"}
    assert np.isnan(segmentation_metrics(CONFUSION, np.array([1, 1, 0, 1]))["mIoU_rare"])


def test_no_labelled_pixels():
    """Test images without labels: no metric is defined, and none is 0."""
    assert np.isnan(list(segmentation_metrics(np.zeros((4, 4), int), np.array([1, 1, 0, 1])).values())).all()


@pytest.fixture
def image(tmp_path):
    """Write label maps of two images. Return scores whose confusion matrix is CONFUSION."""
    true, called = np.repeat([i // 4 for i in range(16)], CONFUSION.ravel()), np.repeat(
        [i % 4 for i in range(16)], CONFUSION.ravel()
    )  # fmt: skip
    labels = np.full((4, 5), 255, np.uint8)
    labels.ravel()[: len(true)] = true
    scores = torch.zeros(4, 20)
    scores[torch.from_numpy(called), torch.arange(len(called))] = 1
    Image.fromarray(labels).save(tmp_path / "a.png")
    return {"sem_seg_file_name": str(tmp_path / "a.png")}, {"sem_seg": scores.view(4, 4, 5)}


def test_pixels_are_counted(image, tmp_path):
    groups = np.array([2, 0, 0, 1])
    evaluator = SemanticEvaluator("unnamed", num_classes=4, groups=groups, output_dir=str(tmp_path))
    evaluator.process(*([each] for each in image))
    assert evaluator.evaluate()["sem_seg"] == segmentation_metrics(CONFUSION, groups)
    rows = list(csv.DictReader((tmp_path / PER_CLASS_FILE).open()))
    assert [row["group"] for row in rows] == ["frequent", "rare", "rare", "common"]
    assert [row["pixels"] for row in rows] == ["8", "4", "0", "5"]


def test_wrong_values_and_sizes(image):
    item, output = image
    with pytest.raises(DataError, match=r"a\.png.*\b3\b"):
        SemanticEvaluator("unnamed", num_classes=3).process([item], [output])
    with pytest.raises(DataError, match=r"a\.png.*\(4, 5\)"):
        SemanticEvaluator("unnamed", num_classes=4).process([item], [{"sem_seg": output["sem_seg"][:, :3]}])
    wide = torch.cat([output["sem_seg"], output["sem_seg"][:1] + 1])
    with pytest.raises(ConfigError, match=r"NUM_CLASSES: .*at most 4 classes, found 5 classes for .*a\.png"):
        SemanticEvaluator("unnamed", num_classes=4).process([item], [{"sem_seg": wide}])
    for value in (float("nan"), float("inf")):
        output["sem_seg"][2, 1, 1] = value
        with pytest.raises(DataError, match=r"a\.png: .*finite"):
            SemanticEvaluator("unnamed", num_classes=4).process([item], [output])
