"""Test the numbers of matched objects: equal for proposals of the same object, and passed to the loss."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from seesaw_d2.losses import EquilibriumLoss
from seesaw_d2.modeling import SeesawBoxPredictor
from seesaw_d2.modeling.matched_objects import matched_objects
from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config

C = 3
FIRST, SECOND = [0.0, 0, 8, 8], [2.0, 2, 9, 9]


def image(boxes, labels):
    found = Instances((16, 16), proposal_boxes=Boxes(torch.tensor([FIRST] * len(labels)).reshape(-1, 4)))
    found.gt_classes = torch.tensor(labels, dtype=torch.int64)
    if boxes:
        found.gt_boxes = Boxes(torch.tensor(boxes))
    return found


PROPOSALS = [
    image([FIRST, SECOND, FIRST, FIRST], [0, 0, 1, 0]),
    image([], [C, C]),  # without objects
    image([], []),
    image([SECOND, SECOND, FIRST, FIRST], [0, 0, 2, C]),
]


def test_numbers():
    assert matched_objects(PROPOSALS).tolist() == [0, 1, 2, 0, 4, 4, 6, 6, 8, 9]


def test_a_box_predictor_passes_them_to_the_loss():
    torch.manual_seed(0)
    plain, used = EquilibriumLoss(C), EquilibriumLoss(C)
    predictor = SeesawBoxPredictor(
        ShapeSpec(channels=8), box2box_transform=Box2BoxTransform((1.0,) * 4), num_classes=C, cls_loss=used
    )
    features = torch.rand(10, 8)
    with EventStorage():
        losses = predictor.losses(predictor(features), PROPOSALS)
    logits, labels = predictor(features)[0], torch.cat([each.gt_classes for each in PROPOSALS])
    expected = plain(logits, labels, objects=matched_objects(PROPOSALS))
    torch.testing.assert_close(losses["loss_cls"], expected["loss_cls"])
    assert torch.equal(used.mean_scores, plain.mean_scores)
    each_its_own = EquilibriumLoss(C)
    each_its_own(logits, labels)
    assert not torch.equal(used.mean_scores, each_its_own.mean_scores)


@pytest.mark.parametrize(
    ("heads", "calls"),
    [
        (("MODEL.ROI_HEADS.NAME", "SeesawROIHeads"), 1),
        (("MODEL.ROI_HEADS.NAME", "IterativeROIHeads"), 3),
        (CASCADE, 3),
    ],
)
def test_each_head_passes_them(heads, calls, monkeypatch):
    passed, forward = [], EquilibriumLoss.forward

    def recorded(self, logits, *args, objects=None, **kwargs):
        passed.append((objects, len(logits)))
        return forward(self, logits, *args, objects=objects, **kwargs)

    monkeypatch.setattr(EquilibriumLoss, "forward", recorded)
    model = build_model(tiny_config(*heads, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "EquilibriumLoss")).train()
    with EventStorage():
        model(tiny_batch())
    assert len(passed) == calls
    assert all(len(objects) == count for objects, count in passed)
