"""Test SeesawPredictors in Detectron2's heads for rotated boxes, with reimplemented compiled operators."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_HEADS_REGISTRY, build_roi_heads
from detectron2.modeling.roi_heads import rotated_fast_rcnn
from detectron2.modeling.roi_heads.rotated_fast_rcnn import RROIHeads
from detectron2.structures import Boxes, ImageList, Instances, RotatedBoxes, pairwise_iou
from detectron2.utils.events import EventStorage
from torch import nn

from seesaw_d2.modeling import SeesawPredictors
from tests.modeling.tiny import tiny_config

SIZE = (64, 64)


class SeesawRROIHeads(SeesawPredictors, RROIHeads):
    pass


class Pooler(nn.Module):
    """Replace ``ROIAlignRotated``: return features that are functions of the box."""

    def __init__(self, resolution):
        super().__init__()
        self.resolution = resolution

    def forward(self, features, boxes):
        values = torch.cat([each.tensor for each in boxes]).sum(dim=1, keepdim=True)
        channels = torch.sin(values * torch.arange(1.0, 9))
        return channels[:, :, None, None].expand(-1, -1, self.resolution, self.resolution)


def without_rotation(first, second):
    """Replace ``pairwise_iou_rotated``. The boxes in this test are rotated by less than 10 degrees."""
    sides = [torch.cat([each.tensor[:, :2] - each.tensor[:, 2:4] / 2, each.tensor[:, :2] + each.tensor[:, 2:4] / 2], 1)
             for each in (first, second)]  # fmt: skip
    return pairwise_iou(*(Boxes(each) for each in sides))


def heads(name, monkeypatch, *options):
    monkeypatch.setattr(rotated_fast_rcnn, "pairwise_iou_rotated", without_rotation)
    monkeypatch.setattr(rotated_fast_rcnn, "batched_nms_rotated", lambda _, scores, *others: scores.argsort())
    cfg = tiny_config("MODEL.MASK_ON", False, "MODEL.ROI_HEADS.NAME", name, *options)
    cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE = "ROIAlignRotated"
    cfg.MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS = (10.0, 10.0, 5.0, 5.0, 1.0)
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    torch.manual_seed(0)
    names = cfg.MODEL.ROI_HEADS.IN_FEATURES
    shapes = {name: ShapeSpec(channels=8, stride=4 * 2**index) for index, name in enumerate(names)}
    found = build_roi_heads(cfg, shapes)
    found.box_pooler = Pooler(cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION)
    return found


def batch(num_classes):
    objects, proposals = Instances(SIZE), Instances(SIZE)
    objects.gt_boxes = RotatedBoxes(torch.tensor([[20.0, 20, 16, 12, 5], [44.0, 40, 20, 24, -8]]))
    objects.gt_classes = torch.tensor([0, num_classes - 1])
    moved = objects.gt_boxes.tensor + torch.tensor([1.0, -1, 0, 1, 2])
    proposals.proposal_boxes = RotatedBoxes(torch.cat([moved, torch.tensor([[50.0, 10, 8, 8, 0], [8, 56, 8, 8, 0]])]))
    proposals.objectness_logits = torch.zeros(4)
    return ImageList(torch.zeros(1, 3, *SIZE), [SIZE]), [proposals], [objects]


@pytest.fixture(autouse=True)
def registered():
    ROI_HEADS_REGISTRY.register(SeesawRROIHeads)
    yield
    ROI_HEADS_REGISTRY._obj_map.pop("SeesawRROIHeads")


PLAIN = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss", "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "class")
PLAIN = (*PLAIN, "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear")


def run(model):
    images, proposals, objects = batch(model.num_classes)
    features = {name: torch.zeros(1) for name in model.box_in_features}
    torch.manual_seed(1)
    with EventStorage():
        _, losses = model.train()(images, features, proposals, objects)
    with torch.no_grad():
        found, _ = model.eval()(images, features, batch(model.num_classes)[1])
    return losses, found[0]


def test_cross_entropy_gives_detectron2s_losses_and_detections(monkeypatch):
    plain, ours = heads("RROIHeads", monkeypatch), heads("SeesawRROIHeads", monkeypatch, *PLAIN)
    ours.load_state_dict(plain.state_dict(), strict=False)
    (expected, detected), (found, own) = run(plain), run(ours)
    torch.testing.assert_close(found, expected)
    assert len(own) > 0
    torch.testing.assert_close(own.pred_boxes.tensor, detected.pred_boxes.tensor)
    torch.testing.assert_close(own.scores, detected.scores)


def test_seesaw_loss_counts_the_proposals(monkeypatch):
    model = heads("SeesawRROIHeads", monkeypatch)
    losses, found = run(model)
    assert {"loss_cls_classes", "loss_cls_objectness", "loss_box_reg"} == losses.keys()
    assert model.box_predictor.cls_loss.class_counts.sum() > 0
    assert found.pred_boxes.tensor.shape[1] == 5
