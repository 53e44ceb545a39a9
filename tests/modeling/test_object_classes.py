"""Test that objects whose class is the class of background are an error, and not background."""

import pytest
import torch
from detectron2.utils.events import EventStorage

from seesaw_d2.modeling.building import build_model
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config

_FEATURES = ("MODEL.RETINANET.IN_FEATURES", "['p2', 'p3', 'p4']", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss")
_ANCHORS = ("MODEL.ANCHOR_GENERATOR.SIZES", "[[16], [32], [64]]", "MODEL.RETINANET.NUM_CLASSES", NUM_CLASSES)
MODELS = {
    "heads": (),
    "cascade": CASCADE,
    "retinanet": ("MODEL.META_ARCHITECTURE", "LongTailRetinaNet", *_FEATURES, *_ANCHORS),
    "fcos": ("MODEL.META_ARCHITECTURE", "LongTailFCOS", *_FEATURES, *_ANCHORS),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_class_of_background_is_no_class_of_an_object(name):
    torch.manual_seed(0)
    model = build_model(tiny_config(*MODELS[name])).train()
    batch = tiny_batch((0, 2))
    batch[1]["instances"].gt_classes[:] = torch.tensor([NUM_CLASSES - 1, NUM_CLASSES])
    with (
        EventStorage(),
        pytest.raises(ValueError, match=rf"^gt_classes: .*to {NUM_CLASSES - 1} .*found {NUM_CLASSES} in image 1"),
    ):
        model(batch)
    batch[1]["instances"].gt_classes[1] = NUM_CLASSES - 1 if name == "fcos" else -1  # FCOS ignores no objects
    with EventStorage():
        assert all(value.isfinite() for value in model(batch).values())
