"""Run tests on a GPU, and also on the CPU, to find mistakes in the tests without a GPU."""

import pytest
import torch

on_gpu = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
on_both = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_gpu)])
several_gpus = [*on_gpu, pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")]
# Several times the rounding error of a number, because sums of products are compared.
TOLERANCE = {torch.float32: 3e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def assert_near(found, expected, dtype, factor=1.0):
    """Compare a tensor of any device with one in float64: the norm of the difference, relative to the tensor's."""
    difference = (found.detach().cpu().double() - expected.detach().double()).norm()
    assert difference <= factor * TOLERANCE[dtype] * max(expected.norm().item(), 1e-6)
