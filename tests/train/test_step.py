"""Test that ``Step`` equals Detectron2's trainers, also with mixed precision."""

import functools

import pytest
import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from torch import nn

from seesaw_d2.errors import ConfigError, NonFiniteError
from seesaw_d2.train.step import Step


class Model(nn.Module):
    """Compute losses of a linear layer after batch normalization, whose statistics change in each forward pass."""

    def __init__(self, as_dict=True):
        super().__init__()
        self.norm, self.linear, self.as_dict = nn.BatchNorm1d(3), nn.Linear(3, 1), as_dict

    def forward(self, batch):
        inputs = torch.stack([item["input"] for item in batch])
        loss = self.linear(self.norm(inputs)).square().mean()
        return {"loss_a": loss, "loss_b": 2 * loss} if self.as_dict else loss


def batches(spoilt=()):
    generator = torch.Generator().manual_seed(0)
    data = [[{"input": torch.randn(3, generator=generator), "image_id": i} for i in range(4)] for _ in range(4)]
    for index in spoilt:
        data[index][0]["input"][0] = float("inf")
    return data


def train(kind, data, as_dict=True, **options):
    torch.manual_seed(0)
    model = Model(as_dict)
    trainer = kind(model, data, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), **options)
    model.train()
    with EventStorage(0) as storage:
        for trainer.iter in range(len(data)):
            storage.iter = trainer.iter
            trainer.run_step()
    logged = {name: values.values() for name, values in storage.histories().items() if "time" not in name}
    return trainer, logged


@pytest.mark.parametrize("as_dict", [True, False])
# Without a GPU, the scaler and autocast are disabled, which does not change the computed values.
@pytest.mark.parametrize(
    "amp", [None, pytest.param(torch.float16, marks=pytest.mark.filterwarnings("ignore::UserWarning"))]
)
def test_the_steps_are_detectron2s(tmp_path, as_dict, amp):
    theirs, logged = train(SimpleTrainer, batches(), as_dict)
    ours, ours_logged = train(Step, batches(), as_dict, folder=str(tmp_path), amp=amp)
    torch.testing.assert_close(ours.model.state_dict(), theirs.model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(ours.optimizer.state_dict(), theirs.optimizer.state_dict(), rtol=0, atol=0)
    assert ours_logged == logged
    assert ("grad_scaler" in ours.state_dict()) == (amp is not None)


def test_a_skipped_step_is_none(tmp_path):
    """Test that a skipped step restores statistics that became infinite."""
    plain = batches()
    expected, _ = train(Step, [plain[0], *plain[2:]], folder=str(tmp_path))
    skipped, _ = train(Step, batches(spoilt=[1]), folder=str(tmp_path), max_skipped=1)
    torch.testing.assert_close(skipped.model.state_dict(), expected.model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(skipped.optimizer.state_dict(), expected.optimizer.state_dict(), rtol=0, atol=0)


def test_a_forward_pass_that_gives_up_is_a_step_that_is_not_finite(tmp_path, monkeypatch):
    """Test that an error of Detectron2's RPN about predictions that are not finite counts as such a step."""
    forward = Model.forward

    def gives_up(self, batch):
        losses = forward(self, batch)
        if batch[0]["input"].isinf().any():
            raise FloatingPointError("Predicted boxes or scores contain Inf/NaN. Training has diverged.")
        return losses

    expected, _ = train(Step, [batches()[0], *batches()[2:]], folder=str(tmp_path))
    monkeypatch.setattr(Model, "forward", gives_up)
    skipping, _ = train(Step, batches(spoilt=[1]), folder=str(tmp_path), max_skipped=1)
    assert skipping.skipped == 1
    torch.testing.assert_close(skipping.model.state_dict(), expected.model.state_dict(), rtol=0, atol=0)
    with pytest.raises(NonFiniteError, match=r"iteration 1: .*(\n.*)*images 0, 1, 2, 3"):
        train(Step, batches(spoilt=[1]), folder=str(tmp_path))
    assert (tmp_path / "nonfinite_iter1.pth").is_file()
    monkeypatch.setattr("seesaw_d2.train.step.comm.get_world_size", lambda: 2)
    with pytest.raises(NonFiniteError, match=r"iteration 1: .*(\n.*)*Predicted boxes .* images 0, 1, 2, 3"):
        train(Step, batches(spoilt=[1]), folder=str(tmp_path / "alone"), max_skipped=1)
    assert torch.load(tmp_path / "alone/nonfinite_iter1.pth", weights_only=True)["iteration"] == 1


def test_one_more_than_may_be_skipped(tmp_path):
    with pytest.raises(
        NonFiniteError, match=r"iteration 3: a loss(?s:.*)loss_a nan, loss_b nan(?s:.*)images 0, 1, 2, 3"
    ):
        train(Step, batches(spoilt=[1, 3]), folder=str(tmp_path), max_skipped=1)
    state = torch.load(tmp_path / "nonfinite_iter3.pth", weights_only=True)
    assert all(value.isfinite().all() for value in state["model"].values())
    assert state["ranks"][0]["images"] == [{"image_id": i} for i in range(4)]


def fused(kind, data, **options):
    """Call ``train`` with PyTorch's fused kernel."""
    plain = torch.optim.SGD
    torch.optim.SGD = functools.partial(plain, fused=True)
    try:
        return train(kind, data, **options)
    finally:
        torch.optim.SGD = plain


def test_told_late(tmp_path):
    """Test that with another period, the same steps are run and skipped, and the same values are logged."""
    data = batches(spoilt=[0, 2])
    early, early_logged = fused(Step, data, folder=str(tmp_path), max_skipped=2)
    late, late_logged = fused(Step, data, folder=str(tmp_path), max_skipped=2, metrics_period=4)
    torch.testing.assert_close(late.model.state_dict(), early.model.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(late.optimizer.state_dict(), early.optimizer.state_dict(), rtol=0, atol=0)
    assert late_logged == early_logged
    assert [step for _, step in late_logged["total_loss"]] == [1, 3]
    assert late.skipped == early.skipped == 2


def test_told_late_that_the_run_has_ended(tmp_path):
    """Test that the state is the state before the failed step, although two more iterations have started."""
    expected, _ = fused(Step, batches()[:1], folder=str(tmp_path))
    with pytest.raises(
        NonFiniteError, match=r"iteration 1: a loss(?s:.*)loss_a nan(?s:.*)norm.weight(?s:.*)images 0, "
    ):
        fused(Step, batches(spoilt=[1]), folder=str(tmp_path), metrics_period=4)
    state = torch.load(tmp_path / "nonfinite_iter1.pth", weights_only=True)
    torch.testing.assert_close(state["model"], dict(expected.model.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(state["optimizer"], expected.optimizer.state_dict(), rtol=0, atol=0)


def test_an_optimizer_that_cannot_leave_a_step_out(tmp_path):
    with pytest.raises(ConfigError, match=r"SOLVER\.METRICS_PERIOD: expected 1, .*fused"):
        train(Step, batches(), folder=str(tmp_path), metrics_period=2)
