"""Two processes with half of a batch each do what one does with all of it."""

import pytest
import torch

from seesaw_d2.losses import SeesawLoss
from seesaw_d2.utils.distributed import all_reduce_sum, rank, world_size
from tests import golden
from tests.processes import run_two_processes

C, STEPS, AVG_FACTOR = 5, 3, 8.0
# Which proposals the first process gets, in each step; the other one gets the rest. C is background.
FIRST = [slice(0, 8), slice(0, 8), slice(0, 0)]
LABELS = [
    [0, 0, 0, 1, 5, 5, 5, 2, 0, 3, 4, 5, 5, 5, 5, 1],
    [5, 5, 5, 5, 5, 5, 5, 5, 0, 0, 0, 1, 1, 2, 5, 5],  # the first process has no foreground
    [4, 4, 4, 3, 3, 0, 5, 5, 5, 5, 1, 0, 0, 0, 0, 2],  # and then no proposals
]


def batch(step):
    generator = torch.Generator().manual_seed(step)
    logits = 2 * torch.randn(16, C + 2, generator=generator, dtype=torch.float64)
    return logits, torch.tensor(LABELS[step])


def train(share, sync=True):
    """Losses, gradients and counts of each step; ``share(step)`` says which proposals."""
    loss, results = SeesawLoss(C, sync=sync), []
    for step in range(STEPS):
        logits, labels = batch(step)
        logits.requires_grad_()
        chosen = share(step)
        losses = loss(logits[chosen], labels[chosen], avg_factor=AVG_FACTOR)
        (grad,) = torch.autograd.grad(sum(losses.values()), logits)
        values = {key: value.item() for key, value in losses.items()}
        results.append((values, grad, loss.class_counts.clone()))
    return results


def golden_counts(arrays, process):
    loss = SeesawLoss(C)
    loss.class_counts.copy_(torch.as_tensor(arrays["init_cum_samples"]).long())
    for call in golden.calls(arrays, f"rank{process}_"):
        loss(call.tensor("logits"), call.tensor("labels", torch.int64))
    return loss.class_counts


def run_process(process, arrays):
    first = process == 0

    def share(step):
        rows = torch.zeros(16, dtype=torch.bool)
        rows[FIRST[step]] = True
        return rows if first else ~rows

    return {
        "whole": (world_size(), rank(), all_reduce_sum(torch.tensor([process + 1])).item()),
        "sync": train(share),
        "alone": train(share, sync=False),
        "golden": None if arrays is None else golden_counts(arrays, process),
    }


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    present = (golden.FOLDER / "two_rank_seesaw_C5.npz").is_file()
    arrays = golden.load("two_rank_seesaw_C5") if present else None
    return run_two_processes(run_process, tmp_path_factory.mktemp("two"), arrays)


def test_two_processes_equal_one(two_processes):
    expected = train(lambda step: slice(None))
    halves = zip(*(each["sync"] for each in two_processes), strict=True)
    for (losses, grad, counts), (first, second) in zip(expected, halves, strict=True):
        for key, value in losses.items():
            assert first[0][key] + second[0][key] == pytest.approx(value, rel=1e-12)
        torch.testing.assert_close(first[1] + second[1], grad)
        assert torch.equal(first[2], counts)
        assert torch.equal(second[2], counts)


def test_without_sync_each_process_counts_its_own(two_processes):
    whole = train(lambda step: slice(None))[-1][2]
    first, second = (each["alone"][-1][2] for each in two_processes)
    assert not torch.equal(first, second)
    assert torch.equal(first + second, whole)


def test_the_references_counts_per_process_and_ours(two_processes):
    """A deviation: after three steps the reference's processes differ; ours both hold the sum."""
    arrays = golden.load("two_rank_seesaw_C5")
    start = torch.as_tensor(arrays["init_cum_samples"]).long()
    theirs = [torch.as_tensor(arrays[f"rank{process}_call2_buf_cum_samples"]).long() for process in range(2)]
    assert theirs[0].tolist() == [112, 59, 83, 19, 54, 10018]
    assert theirs[1].tolist() == [108, 63, 85, 19, 57, 10013]
    for each in two_processes:
        assert torch.equal(each["golden"], theirs[0] + theirs[1] - start)
        assert each["golden"].tolist() == [115, 65, 87, 20, 57, 10031]


def test_collectives(two_processes):
    assert [each["whole"] for each in two_processes] == [(2, 0, 3), (2, 1, 3)]
    tensor = torch.tensor([7])
    assert (world_size(), rank(), all_reduce_sum(tensor).item()) == (1, 0, 7)
    assert all_reduce_sum(tensor) is tensor
