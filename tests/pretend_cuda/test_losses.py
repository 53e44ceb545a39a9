"""Test every loss on a simulated GPU: the same numbers as on the CPU, one device, and no synchronization."""

import copy

import pytest
import torch

from tests.losses.test_contract import batch, every_loss, make, total
from tests.pretend_cuda.context import PretendedCuda
from tests.pretend_cuda.device import to_device, to_host


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_equals_the_cpu_without_a_wait(name, background, dtype):
    loss = make(name, background).train()
    logits, labels = batch(loss, dtype=dtype)
    weights = torch.linspace(0.1, 1, len(labels))
    expected_loss = copy.deepcopy(loss)
    expected = [expected_loss(logits, labels, weights) for _ in range(3)][-1]
    (expected_gradient,) = torch.autograd.grad(total(expected), logits)
    expected_scores = expected_loss.probabilities(logits)
    with PretendedCuda() as cuda:
        loss = to_device(loss)
        theirs = to_device(logits).requires_grad_()
        labels, weights = to_device(labels), to_device(weights)
        found = [loss(theirs, labels, weights) for _ in range(3)][-1]
        (gradient,) = torch.autograd.grad(total(found), theirs)
        scores = loss.probabilities(theirs)
        state = to_host(dict(loss.state_dict()))
    assert not cuda.of_packages()
    assert_close = torch.testing.assert_close
    found, gradient, scores = to_host((found, gradient, scores))
    assert_close(found, dict(expected), rtol=1e-6, atol=1e-7)
    assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-7)
    assert_close(scores, expected_scores, rtol=1e-6, atol=1e-7)
    for key, value in expected_loss.state_dict().items():
        assert_close(state[key], value, rtol=1e-6, atol=1e-7, msg=key)
