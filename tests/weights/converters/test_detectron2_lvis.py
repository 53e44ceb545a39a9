"""Test that Detectron2's checkpoints give the same names and detections in a plain head of this project."""

import pickle

import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2.train import SeesawCheckpointer
from tests.modeling.tiny import CASCADE, tiny_batch, tiny_config

PLAIN = (
    *("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "CrossEntropyLoss", "MODEL.ROI_BOX_HEAD.CLS_LOSS.BACKGROUND", "class"),
    *("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0),
)
HEADS = {
    "mask": ((), "StandardROIHeads", "SeesawROIHeads"),
    "cascade": (CASCADE, "CascadeROIHeads", "SeesawCascadeROIHeads"),
}


@pytest.mark.parametrize("heads", HEADS)
@torch.no_grad()
def test_a_file_of_its_model_zoo(tmp_path, heads):
    options, theirs, ours = HEADS[heads]
    torch.manual_seed(2)
    # Detectron2's heads do not use losses of this project, so that the keys of the losses are not read.
    reference = build_model(tiny_config(*options, *PLAIN, "MODEL.ROI_HEADS.NAME", theirs)).eval()
    for name, parameter in reference.named_parameters():
        if "box_predictor" in name or "mask_head" in name:
            parameter.normal_(std=0.3)
    arrays = {name: value.numpy() for name, value in reference.state_dict().items()}
    path = tmp_path / "model_final_571f7c.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "Detectron2"}))
    model = build_model(tiny_config(*options, *PLAIN, "MODEL.ROI_HEADS.NAME", ours)).eval()
    SeesawCheckpointer(model, strict=True).load(str(path))
    batch = tiny_batch((0, 0))
    for found, expected in zip(model(batch), reference(batch), strict=True):
        found, expected = found["instances"], expected["instances"]
        assert len(expected) > 0
        assert len(found) == len(expected)
        torch.testing.assert_close(found.pred_boxes.tensor, expected.pred_boxes.tensor)
        torch.testing.assert_close(found.scores, expected.scores)
        assert torch.equal(found.pred_classes, expected.pred_classes)
        assert torch.equal(found.pred_masks, expected.pred_masks)
