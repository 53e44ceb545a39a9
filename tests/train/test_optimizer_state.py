"""Test that a resumed optimizer has the buffers of the checkpoint and the hyperparameters of the config."""

import pytest
import torch
from torch import nn

from seesaw_d2.errors import WeightsError
from seesaw_d2.train.checkpoints.optimizer_state import load_optimizer_state


def trained(kind=torch.optim.SGD, factors=(1.0, 2.0), lr=0.1, **options):
    """Return an optimizer with one parameter in each group, after one step."""
    parameters = [nn.Parameter(torch.ones(2)) for _ in factors]
    groups = [{"params": [each], "lr": lr * factor} for each, factor in zip(parameters, factors, strict=True)]
    optimizer = kind(groups, lr=lr, **options)
    sum(each.sum() for each in parameters).backward()
    optimizer.step()
    return optimizer


def test_each_group_keeps_its_own_values():
    before, after = trained(momentum=0.9), trained(lr=0.4, momentum=0.5, weight_decay=0.25, nesterov=True, foreach=True)
    for group in before.param_groups:  # values in the middle of a schedule
        group.update(initial_lr=group["lr"], lr=group["lr"] / 8)
    before.state[before.param_groups[1]["params"][0]]["momentum_buffer"].fill_(7)
    load_optimizer_state(after, before.state_dict(), "run")
    for group, base in zip(after.param_groups, (0.4, 0.8), strict=True):
        assert (group["initial_lr"], group["lr"]) == (base, pytest.approx(base / 8))
        assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.5, 0.25, True)
        assert group["foreach"] is True
    assert after.state[after.param_groups[1]["params"][0]]["momentum_buffer"].tolist() == [7, 7]


def test_an_unchanged_learning_rate_stays_bit_for_bit():
    before, after = trained(), trained()
    for group in before.param_groups:
        group.update(initial_lr=group["lr"], lr=group["lr"] * 0.3)
    load_optimizer_state(after, before.state_dict(), "run")
    assert [group["lr"] for group in after.param_groups] == [0.1 * 0.3, 0.2 * 0.3]


@pytest.mark.parametrize("other", [{"kind": torch.optim.AdamW}, {"factors": (1.0,)}, {"factors": (1.0, 2.0, 3.0)}])
def test_a_state_of_another_optimizer_is_refused(other):
    with pytest.raises(WeightsError, match=r"^run: "):
        load_optimizer_state(trained(), trained(**other).state_dict(), "run")
