"""Test that heads of Detectron2's projects PointSup and TridentNet train with Seesaw Loss after one key."""

import pytest
import torch
from detectron2.modeling import ROI_HEADS_REGISTRY, ROI_MASK_HEAD_REGISTRY, StandardROIHeads, build_model
from detectron2.modeling.roi_heads import Res5ROIHeads
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead, mask_rcnn_inference
from detectron2.structures import Instances

from seesaw_d2.modeling import SeesawRes5ROIHeads, SeesawROIHeads
from seesaw_d2.train.preflight.config_checks import check_names
from tests.modeling.small_zoo import small_zoo_config
from tests.modeling.test_detectron2_models import HEADS, MASK_RCNN, train_and_predict
from tests.modeling.tiny import tiny_batch


class PointSupervised(MaskRCNNConvUpsampleHead):
    """Reimplement PointSup's mask head, which is trained on labelled points: here, the center of each region."""

    def forward(self, x, instances):
        x = self.layers(x)
        if not self.training:
            mask_rcnn_inference(x, instances)
            return instances
        classes = torch.cat([each.gt_classes for each in instances])
        center = x[torch.arange(len(x)), classes, x.shape[2] // 2, x.shape[3] // 2]
        return {"loss_mask": torch.nn.functional.binary_cross_entropy_with_logits(center, torch.ones_like(center))}


class Branches:
    """Reimplement TridentNet's heads, which repeat images for each branch, and merge the detections of an image."""

    def forward(self, images, features, proposals, targets=None):
        repeated = None if targets is None else targets * 2
        features = {name: torch.cat([value] * 2) for name, value in features.items()}
        instances, losses = super().forward(images, features, proposals * 2, repeated)
        if self.training:
            return instances, losses
        half = len(instances) // 2
        return [Instances.cat([instances[i], instances[half + i]]) for i in range(half)], {}


class TridentStandard(Branches, StandardROIHeads):
    pass


class TridentRes5(Branches, Res5ROIHeads):
    pass


class SeesawTridentStandard(TridentStandard, SeesawROIHeads):
    pass


class SeesawTridentRes5(TridentRes5, SeesawRes5ROIHeads):
    pass


@pytest.fixture
def projects():
    """Register the heads for a test."""
    added = {ROI_MASK_HEAD_REGISTRY: [PointSupervised], ROI_HEADS_REGISTRY: [SeesawTridentStandard, SeesawTridentRes5]}
    for registry, classes in added.items():
        for each in classes:
            registry.register(each)
    yield
    for registry, classes in added.items():
        for each in classes:
            registry._obj_map.pop(each.__name__)


def test_pointsup(projects):
    options = (HEADS, "SeesawROIHeads", "MODEL.ROI_MASK_HEAD.NAME", "PointSupervised")
    assert "loss_mask" in train_and_predict(small_zoo_config(MASK_RCNN.format("FPN"), *options), tiny_batch((3, 2)))


@pytest.mark.parametrize(("heads", "backbone"), [("SeesawTridentStandard", "FPN"), ("SeesawTridentRes5", "C4")])
def test_tridentnet_with_a_class_of_two_bases(projects, heads, backbone):
    cfg = small_zoo_config(MASK_RCNN.format(backbone), HEADS, heads)
    check_names(cfg)
    train_and_predict(cfg, tiny_batch((3, 2)))


@pytest.mark.parametrize("heads", [SeesawROIHeads, SeesawRes5ROIHeads])
def test_branches_that_the_heads_do_not_know(heads):
    cfg = small_zoo_config(MASK_RCNN.format("C4" if heads is SeesawRes5ROIHeads else "FPN"), HEADS, heads.__name__)
    model = build_model(cfg).train()
    proposals = [each["instances"] for each in tiny_batch((3, 2))]
    with pytest.raises(ValueError, match=r"proposals.*2 images.*found 4"):
        model.roi_heads(None, {}, proposals * 2, proposals)
