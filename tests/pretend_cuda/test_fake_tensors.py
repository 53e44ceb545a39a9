"""Test shapes, data types and devices of losses with PyTorch's fake CUDA tensors, in the forward pass."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.losses.test_contract import N, every_loss, make


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_stay_on_the_device(name, background, dtype):
    loss = make(name, background).train()
    mode = FakeTensorMode()
    for module in loss.modules():
        for key, buffer in module._buffers.items():
            if buffer is not None:
                with mode:
                    module._buffers[key] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")
    with mode, torch.no_grad():
        logits = torch.empty(N, loss.num_logits, dtype=dtype, device="cuda")
        labels = torch.empty(N, dtype=torch.int64, device="cuda")
        losses = loss(logits, labels)
        scores = loss.probabilities(logits)
    assert {value.device.type for value in losses.values()} == {"cuda"}
    assert scores.device.type == "cuda"
    assert scores.shape == (N, loss.num_label_values)
    assert all(buffer.device.type == "cuda" for buffer in loss.buffers())
