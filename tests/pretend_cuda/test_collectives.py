"""Test synchronizations and collectives of the trainer on a simulated GPU, in one process and in two processes."""

import contextlib
import copy

import pytest
import torch
from detectron2.utils.events import EventStorage

from seesaw_d2.losses import SeesawLoss
from seesaw_d2.train.checkpoints.hooks import CheckpointHook
from seesaw_d2.train.launch.signals import STOP, Stopped
from seesaw_d2.train.step import Step
from seesaw_d2.utils.deferred_scalars import put_scalars
from tests.pretend_cuda.collectives import two_processes
from tests.pretend_cuda.context import PretendedCuda
from tests.pretend_cuda.device import CUDA, to_device, to_host

C = 4


class Classifier(torch.nn.Module):
    """Compute Seesaw Loss of a linear layer, and log two groups of scalars."""

    def __init__(self):
        super().__init__()
        self.linear, self.loss = torch.nn.Linear(3, C), SeesawLoss(C, background="none")

    def forward(self, batch):
        logits = self.linear(batch["inputs"])
        put_scalars(["mean", "largest"], torch.stack([logits.mean(), logits.max()]))
        put_scalars(["smallest"], logits.min().reshape(1))
        return self.loss(logits, batch["labels"])


class Saves:
    """Record checkpoints without writing files."""

    save_dir = ""

    def __init__(self):
        self.saved = []

    def save(self, name, **_):
        self.saved.append(name)


def batches(count):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(C)
    return [{"inputs": torch.randn(4, 3, generator=generator), "labels": labels} for _ in range(count)]


def train(model, data, folder, at_iteration=lambda iteration: None, **options):
    """Train with the checkpoint hook until a signal. Return the trainer, the checkpoints and the logged values."""
    optimizer = torch.optim.SGD(model.train().parameters(), lr=0.1, foreach=False)
    trainer = Step(model, data, optimizer, folder=str(folder), **options)
    hook = CheckpointHook(Saves(), period=1000)
    hook.trainer, trainer.max_iter = trainer, 1000
    with EventStorage(0) as storage, contextlib.suppress(Stopped):
        for trainer.iter in range(len(data)):
            storage.iter = trainer.iter
            at_iteration(trainer.iter)
            trainer.run_step()
            hook.after_step()
    found = {name: each.values() for name, each in storage.histories().items() if "time" not in name}
    return trainer, hook._checkpointer.saved, found


@pytest.mark.parametrize("processes", [1, 2])
def test_an_iteration_waits_once_and_reduces_once(tmp_path, processes):
    torch.manual_seed(0)
    model, data = Classifier(), batches(3)
    expected, _, expected_logged = train(copy.deepcopy(model), data, tmp_path)
    with PretendedCuda() as cuda:
        if processes == 1:
            trainer, _, logged = train(to_device(model), to_device(data), tmp_path)
        else:
            with two_processes() as seen:
                trainer, _, logged = train(to_device(model), to_device(data), tmp_path)
        state = to_host(dict(trainer.model.state_dict()))
    assert cuda.events == {("wait", "seesaw_d2/train/step_report.py:read_reports"): len(data)}
    assert cuda.generators == {CUDA}
    torch.testing.assert_close(logged, expected_logged)
    if processes == 2:
        assert seen == {("all_reduce", "seesaw_d2/utils/distributed.py:all_reduce_sum"): 2 * len(data)}
    for name, value in expected.model.state_dict().items():
        torch.testing.assert_close(state[name], value * processes if "counts" in name else value)


@pytest.mark.parametrize("period", [1, 4])
def test_a_signal_ends_the_training_with_the_period(tmp_path, monkeypatch, period):
    """Test that the flag of a signal is sent with the losses, without an additional collective before it is known."""
    monkeypatch.setattr(STOP, "signum", None)
    optimizer = torch.optim.SGD

    def signal_in(iteration):
        if iteration == 1:
            monkeypatch.setattr(STOP, "signum", 15)

    monkeypatch.setattr(torch.optim, "SGD", lambda *args, foreach, **options: optimizer(*args, **options, fused=True))
    with two_processes() as seen:
        trainer, saved, _ = train(Classifier(), batches(6), tmp_path, signal_in, metrics_period=period)
    last = 1 if period == 1 else 3
    assert trainer.iter == last
    assert saved == [f"model_{last:07d}"]
    assert seen["all_reduce", "seesaw_d2/utils/distributed.py:all_reduce_sum"] == 2 * (last + 1)
    assert seen["all_gather", "seesaw_d2/train/checkpoints/hooks.py:after_step"] == 1
