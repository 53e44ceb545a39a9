"""Test every head in mixed precision: losses equal those of float32 up to rounding, and detections are finite."""

import copy

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config

HEADS = {
    "mask_rcnn": (),
    "norm_mask": ("MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead"),
    "cascade": (*CASCADE, "MODEL.ROI_MASK_HEAD.PER_STAGE", "True"),
    "loce": ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "EquilibriumLoss"),  # needs the matched object of each proposal
    "pcb": (
        *("MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance"),
        *("MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.UNSEEN", "ignore", "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER", "0"),
    ),
}


@pytest.mark.parametrize("overrides", HEADS.values(), ids=HEADS)
def test_bfloat16_autocast(overrides):
    torch.manual_seed(0)
    model = build_model(tiny_config(*overrides)).train()
    batch = tiny_batch()
    with EventStorage(), torch.no_grad():
        images = model.preprocess_image(batch)
        features = model.backbone(images.tensor)
        proposals, _ = model.proposal_generator(images, features, [image["instances"] for image in batch])

    def run(enabled):
        """Return losses and gradients of the heads, for the same features, proposals, samples and counts."""
        heads = copy.deepcopy(model.roi_heads)
        torch.manual_seed(1)
        with EventStorage(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            _, losses = heads(images, features, copy.deepcopy(proposals), [image["instances"] for image in batch])
        sum(losses.values()).backward()
        gradients = {name: p.grad for name, p in heads.named_parameters() if p.grad is not None}
        return losses, gradients, heads

    (expected, gradients, _), (found, narrow_gradients, heads) = run(False), run(True)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(expected[name].item(), rel=0.05, abs=0.005), name
    assert narrow_gradients.keys() == gradients.keys()
    assert all(gradient.isfinite().all() for gradient in narrow_gradients.values())
    heads.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        instances, _ = heads(images, features, proposals)
    assert all(image.scores.isfinite().all() and image.pred_boxes.tensor.isfinite().all() for image in instances)
