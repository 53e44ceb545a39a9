"""Whole training steps and inference on a pretended GPU: the numbers of the CPU, one device, no wait but the known."""

import copy

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from tests.modeling.test_autocast import HEADS
from tests.modeling.tiny import tiny_batch, tiny_config
from tests.pretend_cuda.device import PretendedCuda, to_device, to_host


def step(model, batch):
    """Return the losses of a training step and the gradients."""
    torch.manual_seed(1)
    model.train()
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("head", HEADS)
def test_a_training_step(head):
    torch.manual_seed(0)
    model = build_model(tiny_config(*HEADS[head]))
    expected, expected_gradients = step(copy.deepcopy(model), tiny_batch())
    with PretendedCuda() as cuda:
        losses, gradients = step(to_device(model), tiny_batch())
    print(head, cuda.places("wait", "seesaw_d2"), sum(cuda.places("wait", "detectron2").values()))
    print(cuda.places("copy", "seesaw_d2"), cuda.places("copy", "detectron2"))
    assert not cuda.places("mixed", "seesaw_d2")
    assert not cuda.places("mixed", "detectron2")
    torch.testing.assert_close(to_host(losses), dict(expected))
    torch.testing.assert_close(to_host(gradients), expected_gradients)
