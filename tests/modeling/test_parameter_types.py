"""Test that a detector in another dtype than float32 is an error that says what to do."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from seesaw_d2.modeling.building import build_model
from tests.modeling.test_object_classes import MODELS
from tests.modeling.tiny import tiny_batch, tiny_config

_PARTS = {"heads": "BatchedRPN", "cascade": "BatchedRPN", "retinanet": "LongTailRetinaNet", "fcos": "LongTailFCOS"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", _PARTS)
def test_another_dtype(name, dtype):
    model = build_model(tiny_config(*MODELS[name])).to(dtype).eval()
    expected = rf"^{_PARTS[name]}: expected .*float32,.* found {dtype}\..*AMP.*autocast"
    with torch.no_grad(), pytest.raises(ValueError, match=expected):
        model(tiny_batch())


@pytest.mark.parametrize("training", [False, True])
def test_heads_behind_another_proposal_generator(training):
    model = build_model(tiny_config()).train(training)
    batch = tiny_batch()
    with EventStorage():
        images = model.preprocess_image(batch)
        features = model.backbone(images.tensor)
        targets = [each["instances"] for each in batch]
        proposals, _ = model.proposal_generator(images, features, targets)
        with pytest.raises(ValueError, match=r"^SeesawROIHeads: expected .*float32,.* found torch\.float64"):
            model.roi_heads.double()(images, features, proposals, targets)
