"""Float32 is computed in float32: PyTorch's default for convolutions on GPUs is TF32."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _without_tf32():
    switches = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [each.allow_tf32 for each in switches]
    for each in switches:
        each.allow_tf32 = False
    yield
    for each, value in zip(switches, before, strict=True):
        each.allow_tf32 = value
