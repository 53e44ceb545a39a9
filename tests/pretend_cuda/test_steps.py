"""Test training steps and inference on a simulated GPU: numbers of the CPU, one device, known synchronizations."""

import copy

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import PolygonMasks
from detectron2.utils import comm
from detectron2.utils.events import EventStorage

from seesaw_d2.train.finite_boxes import finite_boxes, modules_with_box_checks
from seesaw_d2.utils.deferred_scalars import kept_scalars
from tests.modeling.test_autocast import HEADS
from tests.modeling.tiny import tiny_batch, tiny_config
from tests.pretend_cuda.context import PretendedCuda
from tests.pretend_cuda.device import to_device, to_host
from tests.pretend_cuda.waits import COPIES, STEP


def build(*overrides):
    torch.manual_seed(0)
    return build_model(tiny_config(*overrides))


def step(model, batch, dtype=None, scaler=None):
    """Return the losses of a training step and the gradients, as the trainer computes them."""
    torch.manual_seed(1)
    model.train()
    device = model.pixel_mean.device.type
    boxes = finite_boxes(modules_with_box_checks(model))
    with EventStorage(), kept_scalars(), boxes, torch.autocast(device, dtype=dtype, enabled=dtype is not None):
        losses = model(batch)
    total = sum(losses.values())
    (total if scaler is None else scaler.scale(total)).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("head", HEADS)
def test_a_training_step(head):
    model = build(*HEADS[head])
    expected, expected_gradients = step(copy.deepcopy(model), tiny_batch())
    with PretendedCuda() as cuda:
        losses, gradients = step(to_device(model), tiny_batch())
    assert not cuda.places("mixed", "seesaw_d2")
    assert not cuda.places("mixed", "detectron2")
    assert not cuda.places("copy", "seesaw_d2")
    if not hasattr(comm, "create_local_process_group"):  # v0.6. The main branch waits in other places
        assert cuda.at("wait") == STEP[head]
        assert cuda.at("copy").keys() <= COPIES
    torch.testing.assert_close(to_host(losses), dict(expected))
    torch.testing.assert_close(to_host(gradients), expected_gradients)


def with_polygons(batch):
    """Replace the masks by the outlines of the boxes."""
    for each in batch:
        boxes = each["instances"].gt_boxes.tensor.tolist()
        each["instances"].gt_masks = PolygonMasks([[np.array([x, y, X, y, X, Y, x, Y])] for x, y, X, Y in boxes])
    return batch


@pytest.mark.parametrize("masks", [lambda batch: batch, with_polygons], ids=["bitmaps", "polygons"])
@pytest.mark.parametrize("head", ["mask_rcnn", "cascade"])
def test_waits_do_not_grow_with_the_number_of_images(head, masks):
    """Test that only the waits for non-maximum suppression, one for each image, depend on the number of images."""
    found = []
    for objects in ((2, 1), (1, 3, 0, 2, 1)):
        model = build(*HEADS[head])
        with PretendedCuda() as cuda:
            step(to_device(model), masks(tiny_batch(objects)))
        found.append(cuda.at("wait"))
        assert found[-1].pop("detectron2/layers/nms.py:batched_nms") == len(objects)
    assert found[0] == found[1]


@pytest.mark.parametrize("head", HEADS)
def test_inference(head):
    model = build(*HEADS[head], "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0").eval()
    batch = tiny_batch()
    with torch.no_grad():
        expected = copy.deepcopy(model)(batch)
    with PretendedCuda() as cuda, torch.no_grad():
        found = to_device(model)(batch)
        fields = [to_host(dict(each["instances"].get_fields())) for each in found]
    assert not cuda.places("mixed", "seesaw_d2")
    assert not cuda.places("mixed", "detectron2")
    for image, other in zip(fields, expected, strict=True):
        other = other["instances"].get_fields()
        assert len(image["scores"])
        torch.testing.assert_close(image["scores"], other["scores"])
        torch.testing.assert_close(to_host(image["pred_boxes"].tensor), other["pred_boxes"].tensor)
        assert torch.equal(image["pred_classes"], other["pred_classes"])
        assert torch.equal(image["pred_masks"], other["pred_masks"])


@pytest.mark.parametrize("head", HEADS)
def test_a_step_in_float16_with_a_scaler(head):
    model = build(*HEADS[head])
    with PretendedCuda() as cuda:
        model = to_device(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**8)
        dtypes = set()
        model.backbone.register_forward_hook(lambda *call: dtypes.update(each.dtype for each in call[-1].values()))
        before = to_host({name: p.detach().clone() for name, p in model.named_parameters()})
        losses, _ = step(model, tiny_batch(), torch.float16, scaler)
        scaler.step(optimizer)
        scaler.update()
        after = to_host(dict(model.state_dict()))
    assert not cuda.places("mixed", "seesaw_d2")
    if not hasattr(comm, "create_local_process_group"):
        assert cuda.at("wait") == STEP[head]
    assert dtypes == {torch.float16}
    assert all(torch.isfinite(value) for value in to_host(losses).values())
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert sum(not torch.equal(after[name], before[name]) for name in trained) > len(trained) / 2
