"""Test that gradient checkpointing, which repeats the forward pass of a loss, does not change the statistics."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from tests.losses.test_contract import assert_same_state, batch, every_loss, make, state, total


@pytest.mark.parametrize("reentrant", [True, False])
@every_loss
def test_gradient_checkpointing_counts_a_batch_once(name, background, reentrant):
    expected, found = make(name, background), make(name, background)
    for seed in range(2):
        logits, labels = batch(expected, seed=seed)
        other = logits.detach().clone().requires_grad_()
        total(expected(logits, labels)).backward()
        checkpoint(lambda values: total(found(values, labels)), other, use_reentrant=reentrant).backward()  # noqa: B023
        assert_same_state(state(found), state(expected))
        if found.updates_first:
            torch.testing.assert_close(other.grad, logits.grad)
