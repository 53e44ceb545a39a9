"""Test that losses with statistics give the same results in two processes as in one process with the whole batch."""

import inspect

import pytest
import torch

from seesaw_d2.losses import LOSS_REGISTRY, EqualizationLossV2, SeesawLoss
from seesaw_d2.utils.distributed import all_reduce_sum, rank, world_size
from tests import golden
from tests.processes import run_two_processes

C, STEPS, AVG_FACTOR = 5, 3, 8.0
# Proposals of the first process in each step. The other process gets the rest. C is background.
FIRST = [slice(0, 8), slice(0, 8), slice(0, 0)]
LABELS = [
    [0, 0, 0, 1, 5, 5, 5, 2, 0, 3, 4, 5, 5, 5, 5, 1],
    [5, 5, 5, 5, 5, 5, 5, 5, 0, 0, 0, 1, 1, 2, 5, 5],  # the first process has no foreground
    [4, 4, 4, 3, 3, 0, 5, 5, 5, 5, 1, 0, 0, 0, 0, 2],  # the first process has no proposals
]
# This file tests losses with the argument "sync". These losses sum statistics over processes.
LOSSES = sorted(name for name, each in LOSS_REGISTRY if "sync" in inspect.signature(each).parameters)


def batch(loss, step):
    generator = torch.Generator().manual_seed(step)
    logits = 2 * torch.randn(16, loss.num_logits, generator=generator, dtype=torch.float64)
    return logits, torch.tensor(LABELS[step])


def train(name, share, sync=True):
    """Return losses, gradients and state of each step. ``share(step)`` selects the proposals."""
    loss, results = LOSS_REGISTRY.get(name)(C, sync=sync), []
    for step in range(STEPS):
        logits, labels = batch(loss, step)
        logits.requires_grad_()
        chosen = share(step)
        losses = loss(logits[chosen], labels[chosen], avg_factor=AVG_FACTOR)
        (grad,) = torch.autograd.grad(sum(losses.values()), logits)
        values = {key: value.item() for key, value in losses.items()}
        results.append((values, grad, {key: value.clone() for key, value in loss.state_dict().items()}))
    return results


def golden_counts(arrays, process):
    """Return the class counts of the reference's Seesaw Loss after three steps."""
    loss = SeesawLoss(C)
    loss.class_counts.copy_(torch.as_tensor(arrays["init_cum_samples"]).long())
    for call in golden.calls(arrays, f"rank{process}_"):
        loss(call.tensor("logits"), call.tensor("labels", torch.int64))
    return loss.class_counts


def golden_gradients(arrays, process):
    """Return loss, gradient and accumulated gradients of the reference's EQL v2 after each step."""
    loss, results = EqualizationLossV2(C), []
    for call in golden.calls(arrays, f"rank{process}_"):
        logits = call.tensor("logits").requires_grad_()
        value = loss(logits, call.tensor("labels", torch.int64))["loss_cls"]
        (grad,) = torch.autograd.grad(value, logits)
        results.append((value.item(), grad, loss.positive_gradients.clone(), loss.negative_gradients.clone()))
    return results


def strided_sum():
    """Sum a non-contiguous view over processes. Return it and the values outside the view."""
    tensor = torch.arange(6).view(2, 3)
    return all_reduce_sum(tensor[:, :2]).tolist(), tensor.tolist()


GOLDEN = {"two_rank_seesaw_C5": golden_counts, "two_rank_eqlv2orig_C5": golden_gradients}


def share_of(process, step):
    rows = torch.zeros(16, dtype=torch.bool)
    rows[FIRST[step]] = True
    return rows if process == 0 else ~rows


def run_process(process, arrays):
    def share(step):
        return share_of(process, step)

    return {
        "whole": (world_size(), rank(), all_reduce_sum(torch.tensor([process + 1])).item()),
        "strided": strided_sum(),
        "sync": {name: train(name, share) for name in LOSSES},
        "alone": {name: train(name, share, sync=False) for name in LOSSES},
        "golden": {name: GOLDEN[name](each, process) for name, each in arrays.items()},
    }


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    arrays = {name: golden.load(name) for name in GOLDEN if (golden.FOLDER / f"{name}.npz").is_file()}
    return run_two_processes(run_process, tmp_path_factory.mktemp("two"), arrays)


def assert_same_state(actual, expected):
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(actual[key], value, rtol=1e-12, atol=0)
        else:
            assert torch.equal(actual[key], value)


def test_the_losses_that_have_statistics():
    assert {"EqualizationLossV2", "SeesawLoss"} <= set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_equal_one(two_processes, name):
    expected = train(name, lambda step: slice(None))
    halves = zip(*(each["sync"][name] for each in two_processes), strict=True)
    for (losses, grad, state), (first, second) in zip(expected, halves, strict=True):
        for key, value in losses.items():
            assert first[0][key] + second[0][key] == pytest.approx(value, rel=1e-12)
        torch.testing.assert_close(first[1] + second[1], grad)
        assert_same_state(first[2], state)
        assert_same_state(second[2], first[2])


@pytest.mark.parametrize("name", LOSSES)
def test_without_sync_each_process_counts_its_own(two_processes, name):
    for process, each in enumerate(two_processes):
        expected = train(name, lambda step, process=process: share_of(process, step))
        for (_, _, actual), (_, _, state), (_, _, synchronized) in zip(
            each["alone"][name], expected, each["sync"][name], strict=True
        ):
            assert_same_state(actual, state)
            assert all(not torch.equal(value, synchronized[key]) for key, value in actual.items())


def test_the_references_counts_per_process_and_ours(two_processes):
    """Test a difference: the reference's processes have different counts after three steps. Ours both have the sum."""
    name = "two_rank_seesaw_C5"
    arrays = golden.load(name)
    start = torch.as_tensor(arrays["init_cum_samples"]).long()
    theirs = [torch.as_tensor(arrays[f"rank{process}_call2_buf_cum_samples"]).long() for process in range(2)]
    assert theirs[0].tolist() == [112, 59, 83, 19, 54, 10018]
    assert theirs[1].tolist() == [108, 63, 85, 19, 57, 10013]
    for each in two_processes:
        assert torch.equal(each["golden"][name], theirs[0] + theirs[1] - start)
        assert each["golden"][name].tolist() == [115, 65, 87, 20, 57, 10031]


@pytest.mark.parametrize("process", [0, 1])
def test_the_references_gradients_and_ours(two_processes, process):
    """Test that our EQL v2 sums the gradients of all processes, like the reference."""
    name = "two_rank_eqlv2orig_C5"
    calls = golden.calls(golden.load(name), f"rank{process}_")
    for call, (value, grad, positive, negative) in zip(calls, two_processes[process]["golden"][name], strict=True):
        golden.assert_matches(value, call["out_loss_cls"], golden.EXACT)
        golden.assert_matches(grad, call["grad_total"], golden.EXACT)
        golden.assert_matches(positive, call["buf_pos_grad"], golden.EXACT)
        golden.assert_matches(negative, call["buf_neg_grad"], golden.EXACT)


def test_collectives(two_processes):
    assert [each["whole"] for each in two_processes] == [(2, 0, 3), (2, 1, 3)]
    assert [each["strided"] for each in two_processes] == [([[0, 2], [6, 8]], [[0, 2, 2], [6, 8, 5]])] * 2
    tensor = torch.tensor([7])
    assert (world_size(), rank(), all_reduce_sum(tensor).item()) == (1, 0, 7)
    assert all_reduce_sum(tensor) is tensor
