"""Test that the RPN with fewer GPU synchronizations gives the same proposals and losses as Detectron2's RPN."""

import pytest
import torch
from detectron2.modeling import build_model

from tests.modeling.test_fewer_gpu_syncs import OBJECTS, equal, scalars
from tests.modeling.tiny import tiny_batch, tiny_config

RPNS = {
    "plain": (),
    "anchors inside": ("MODEL.RPN.BOUNDARY_THRESH", "0"),
    "giou": ("MODEL.RPN.BBOX_REG_LOSS_TYPE", "giou"),
    "smooth": ("MODEL.RPN.SMOOTH_L1_BETA", "0.3", "MODEL.RPN.LOSS_WEIGHT", "0.5"),
    "large boxes": ("MODEL.PROPOSAL_GENERATOR.MIN_SIZE", "20"),
    "few": ("MODEL.RPN.PRE_NMS_TOPK_TRAIN", "20", "MODEL.RPN.BATCH_SIZE_PER_IMAGE", "8"),
}


def run_rpn(name, overrides, scale=1.0):
    torch.manual_seed(0)
    model = build_model(tiny_config("MODEL.PROPOSAL_GENERATOR.NAME", name, *overrides)).train()
    rpn = model.proposal_generator
    with torch.no_grad():
        rpn.rpn_head.anchor_deltas.weight.normal_(std=0.3).mul_(scale)
        rpn.rpn_head.objectness_logits.weight.normal_()
    batch = tiny_batch(OBJECTS)
    images = model.preprocess_image(batch)
    (proposals, losses), logged = scalars(
        lambda: rpn(images, model.backbone(images.tensor), [each["instances"] for each in batch])
    )
    sum(losses.values()).backward()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    return proposals, losses, logged, gradients, torch.rand(2)


@pytest.mark.parametrize("name", RPNS)
def test_rpn(name):
    found, expected = run_rpn("BatchedRPN", RPNS[name]), run_rpn("RPN", RPNS[name])
    assert sum(map(len, expected[0])) > 4
    assert expected[2]["rpn/num_pos_anchors"] > 0
    equal(found, expected)


@pytest.mark.parametrize("name", ["BatchedRPN", "RPN"])
def test_rpn_refuses_boxes_that_are_not_finite(name):
    with pytest.raises(FloatingPointError, match="Inf/NaN"):
        run_rpn(name, (), scale=float("nan"))
