"""Test Detectron2's LazyConfigs with the heads of this package."""

import pytest
import torch
from detectron2.config import LazyCall, instantiate

from seesaw_d2.compat import lazy_config
from seesaw_d2.errors import SeesawError
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.modeling import (
    SeesawCascadeROIHeads,
    SeesawRes5ROIHeads,
    SeesawROIHeads,
    SeesawSemSegFPNHead,
)


@pytest.mark.parametrize(
    ("model", "heads", "key"),
    [
        ("mask_rcnn_fpn", SeesawROIHeads, "box_predictor"),
        ("mask_rcnn_c4", SeesawRes5ROIHeads, "box_predictor"),
        ("cascade_rcnn", SeesawCascadeROIHeads, "box_predictors"),
    ],
)
def test_detectron2s_predictor_is_refused(model, heads, key):
    config = lazy_config(f"common/models/{model}.py").model.roi_heads
    config._target_ = heads
    with pytest.raises(SeesawError, match=rf"^{key}: .*FastRCNNOutputLayers"):
        instantiate(config)


def test_a_semantic_head():
    config = lazy_config("common/models/panoptic_fpn.py").model.sem_seg_head
    config._target_ = SeesawSemSegFPNHead
    config.cls_loss = LazyCall(SeesawLoss)(num_classes=config.num_classes, background="none")
    head = instantiate(config)
    features = {
        name: torch.zeros(1, 256, 64 // 2**level, 64 // 2**level) for level, name in enumerate(head.in_features, 2)
    }
    _, losses = head(features, torch.zeros(1, 64, 64, dtype=torch.int64))
    assert torch.isfinite(losses["loss_sem_seg"])
    assert head.cls_loss.class_counts[0] == 64 * 64
