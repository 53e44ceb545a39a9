"""Disable TF32 in all tests on GPUs. By default, PyTorch uses TF32 for convolutions."""

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
