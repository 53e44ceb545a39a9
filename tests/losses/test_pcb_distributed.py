"""Test that PairwiseClassBalance in two processes equals one process and the authors' numbers, without deadlocks."""

import pytest
import torch

from seesaw_d2.losses import CrossEntropyLoss, EqualizationLossV2, PairwiseClassBalance, SeesawLoss
from tests import golden
from tests.losses.test_pcb_golden import assert_buffers, make, run
from tests.processes import run_two_processes
from tests.reference.authors_pcb import AuthorsCrossEntropyPCB

C, STEPS, AVG_FACTOR = 5, 4, 8.0
# Proposals of the first process in each step. The other process gets the rest. C is background.
FIRST = [slice(0, 8), slice(0, 8), slice(0, 0), slice(0, 4)]
LABELS = [
    [0, 0, 0, 1, 5, 5, 5, 2, 0, 3, 4, 5, 5, 5, 5, 1],
    [5, 5, 5, 5, 5, 5, 5, 5, 0, 0, 0, 1, 1, 2, 5, 5],  # the first process has no foreground
    [4, 4, 4, 3, 3, 0, 5, 5, 5, 5, 1, 0, 0, 0, 0, 2],  # the first process has no proposals
    [5] * 16,  # no process has foreground
]
WRAPPED = {"ce": CrossEntropyLoss, "seesaw": SeesawLoss, "eqlv2": EqualizationLossV2}
AUTHORS = {"ce": AuthorsCrossEntropyPCB, "seesaw": PairwiseClassBalance, "eqlv2": PairwiseClassBalance}


def train(wrapped, share):
    """Return loss values, gradients and state of each step. ``share(step)`` selects the proposals."""
    loss = PairwiseClassBalance(C, loss=WRAPPED[wrapped](C), alpha=0.4).double()
    results = []
    for step in range(STEPS):
        generator = torch.Generator().manual_seed(step)
        logits = 2 * torch.randn(16, loss.num_logits, generator=generator, dtype=torch.float64)
        logits, labels, chosen = logits.requires_grad_(), torch.tensor(LABELS[step]), share(step)
        losses = loss(logits[chosen], labels[chosen], avg_factor=AVG_FACTOR)
        (grad,) = torch.autograd.grad(sum(losses.values()), logits)
        values = {key: value.item() for key, value in losses.items()}
        results.append((values, grad, {key: value.clone() for key, value in loss.state_dict().items()}))
    return results


def run_golden(wrapped, arrays, process):
    """Return losses, gradients and whether the buffers equal the authors', for each call."""
    loss = make(arrays, wrapped, AUTHORS[wrapped])
    if wrapped == "seesaw":
        loss.loss.sync = False  # the authors count the instances of each process separately
    results = []
    for call in golden.calls({**arrays, "n_calls": 3}, f"rank{process}_"):
        losses, grad = run(loss, arrays, call, weighted=wrapped != "eqlv2")
        assert_buffers(loss, call)
        results.append((sum(losses.values()).detach(), grad))
    return results


def run_process(process, files):
    def share(step):
        rows = torch.zeros(16, dtype=torch.bool)
        rows[FIRST[step]] = True
        return rows if process == 0 else ~rows

    return {
        "train": {wrapped: train(wrapped, share) for wrapped in WRAPPED},
        "golden": {wrapped: run_golden(wrapped, arrays, process) for wrapped, arrays in files.items()},
    }


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    names = {wrapped: f"two_rank_{wrapped}_C5" for wrapped in WRAPPED}
    present = {key: name for key, name in names.items() if (golden.FOLDER / f"{name}.npz").is_file()}
    files = {wrapped: golden.load(name) for wrapped, name in present.items()}
    return run_two_processes(run_process, tmp_path_factory.mktemp("two"), files)


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_two_processes_equal_one(two_processes, wrapped):
    """Test that two processes equal one, also without foreground in one or both. The authors' code deadlocks there."""
    expected = train(wrapped, lambda step: slice(None))
    halves = zip(*(each["train"][wrapped] for each in two_processes), strict=True)
    for (losses, grad, state), (first, second) in zip(expected, halves, strict=True):
        for key, value in losses.items():
            assert first[0][key] + second[0][key] == pytest.approx(value, rel=1e-12)
        torch.testing.assert_close(first[1] + second[1], grad)
        for key, value in state.items():
            torch.testing.assert_close(first[2][key], value, rtol=1e-13, atol=1e-15)
            assert torch.equal(first[2][key], second[2][key])


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_the_authors_two_processes(two_processes, wrapped):
    arrays = golden.load(f"two_rank_{wrapped}_C5")
    for process, each in enumerate(two_processes):
        calls = golden.calls({**arrays, "n_calls": 3}, f"rank{process}_")
        for call, (value, grad) in zip(calls, each["golden"][wrapped], strict=True):
            keys = ("loss_cls", "loss_cls_classes", "loss_cls_objectness", "loss_pcb_classes")
            theirs = sum(call[f"out_{key}"] for key in keys if call[f"out_{key}"] is not None)
            golden.assert_matches(value, theirs, golden.EXACT)
            golden.assert_matches(grad, call["grad_total"], golden.EXACT)
