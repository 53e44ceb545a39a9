"""Test that accuracies equal values computed by hand and the values of the reference."""

import re

import numpy as np
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.utils.events import EventStorage
from torch.optim.swa_utils import AveragedModel

from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling import SeesawBoxPredictor
from seesaw_d2.modeling.classification_accuracy import classification_metrics, group_tensor
from tests import golden as reference

PROBS = torch.tensor(
    [
        # columns: classes 0, 1 and 2, background
        [0.6, 0.1, 0.1, 0.2],  # 0: right
        [0.3, 0.1, 0.2, 0.4],  # 0: right class, but predicted as background
        [0.1, 0.2, 0.6, 0.1],  # 1: wrong
        [0.0, 0.1, 0.1, 0.8],  # background: right
        [0.4, 0.3, 0.2, 0.1],  # background: missed
    ]
)
LABELS = torch.tensor([0, 0, 1, 3, 3])


def test_by_hand():
    metrics = classification_metrics(PROBS, LABELS, torch.tensor([2, 0, 1]))
    expected = {
        "cls_accuracy": 2 / 5,
        "fg_cls_accuracy": 1 / 3,
        "false_negative": 1 / 3,
        "objectness_accuracy": 4 / 5,
        "class_accuracy": 2 / 3,
        "class_accuracy_rare": 0.0,
        "class_accuracy_frequent": 1.0,
    }
    for name, value in expected.items():
        torch.testing.assert_close(metrics[name], torch.tensor(value), msg=name)
    assert metrics["class_accuracy_common"].isnan()


def test_groups_unknown():
    assert not any("rare" in name for name in classification_metrics(PROBS, LABELS))


def test_groups_of_other_data_are_left_out_and_said_once(caplog):
    assert group_tensor(None, 3, torch.device("cpu")) is None
    assert group_tensor(lambda: None, 3, torch.device("cpu")) is None
    assert not caplog.records
    assert group_tensor(lambda: np.array([2, 0, 1]), 3, torch.device("cpu")).tolist() == [2, 0, 1]
    for length in (2, 4):
        caplog.clear()
        assert group_tensor(lambda length=length: np.zeros(length), 3, torch.device("cpu")) is None
        assert re.search(rf"\b{length} categories.* 3\b", caplog.text)


def test_a_moving_average_of_the_weights_has_the_buffers_of_the_model():
    shape, transform = ShapeSpec(channels=4, width=1, height=1), Box2BoxTransform((1.0, 1.0, 1.0, 1.0))
    options = {"num_classes": 3, "box2box_transform": transform, "frequency_groups": lambda: np.array([2, 0, 1])}
    predictor = SeesawBoxPredictor(shape, cls_loss=SeesawLoss(3), **options)
    average = AveragedModel(predictor)
    with EventStorage() as storage:
        predictor.classification_losses(torch.randn(5, 5), LABELS)
    assert "fast_rcnn/class_accuracy_rare" in storage.latest()  # the groups are known now
    average.update_parameters(predictor)
    assert average.module.cls_loss.class_counts.tolist() == [2, 1, 0, 2]


def test_reference_accuracies():
    golden = reference.load("seesaw_C50_p0.8_q2_seq")
    loss = SeesawLoss(50)
    for call in range(int(golden["n_calls"])):
        logits = torch.from_numpy(golden[f"call{call}_logits"])
        labels = torch.from_numpy(golden[f"call{call}_labels"])
        metrics = classification_metrics(loss.probabilities(logits), labels)
        for name in ("classes", "objectness"):
            ours = metrics["class_accuracy" if name == "classes" else "objectness_accuracy"] * 100
            torch.testing.assert_close(ours, torch.tensor(golden[f"call{call}_acc_{name}"]).reshape(()))
