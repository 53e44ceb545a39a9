"""Test that objects whose class is the class of background are an error, and not background."""

import pytest
import torch
from detectron2.modeling.roi_heads import ROI_HEADS_REGISTRY, StandardROIHeads
from detectron2.utils.events import EventStorage

from seesaw_d2.modeling.box_predictor_mixin import SeesawPredictors
from seesaw_d2.modeling.building import build_model
from seesaw_d2.modeling.roi_heads import SeesawROIHeads
from tests.modeling.tiny import CASCADE, NUM_CLASSES, tiny_batch, tiny_config
from tests.pretend_cuda.context import PretendedCuda
from tests.pretend_cuda.device import to_device

_FEATURES = ("MODEL.RETINANET.IN_FEATURES", "['p2', 'p3', 'p4']", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss")
_ANCHORS = ("MODEL.ANCHOR_GENERATOR.SIZES", "[[16], [32], [64]]", "MODEL.RETINANET.NUM_CLASSES", NUM_CLASSES)
MODELS = {
    "heads": (),
    "cascade": CASCADE,
    "of another project": ("MODEL.ROI_HEADS.NAME", "HeadsOfAnotherProject"),
    "with other sampling": ("MODEL.ROI_HEADS.NAME", "HeadsWithOtherSampling"),
    "retinanet": ("MODEL.META_ARCHITECTURE", "LongTailRetinaNet", *_FEATURES, *_ANCHORS),
    "fcos": ("MODEL.META_ARCHITECTURE", "LongTailFCOS", *_FEATURES, *_ANCHORS),
}


@ROI_HEADS_REGISTRY.register()
class HeadsOfAnotherProject(SeesawPredictors, StandardROIHeads):
    pass


@ROI_HEADS_REGISTRY.register()
class HeadsWithOtherSampling(SeesawROIHeads):
    def _sample_proposals(self, *args):
        return super()._sample_proposals(*args)


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


@pytest.mark.parametrize("name", MODELS)
def test_on_a_gpu(name):
    """Test a simulated GPU. tests/pretend_cuda/test_steps.py shows that the check does not synchronize with it."""
    torch.manual_seed(0)
    model = build_model(tiny_config(*MODELS[name])).train()
    batch = tiny_batch((0, 2))
    batch[1]["instances"].gt_classes[:] = torch.tensor([NUM_CLASSES - 1, NUM_CLASSES])
    with (
        PretendedCuda(),
        EventStorage(),
        pytest.raises(ValueError, match=rf"^gt_classes: .*found {NUM_CLASSES} in image 1"),
    ):
        to_device(model)(batch)
