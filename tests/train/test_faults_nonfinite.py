"""Test losses and gradients that are not finite, and gradient clipping."""

import pytest
import torch

from seesaw_d2.losses import SeesawLoss
from seesaw_d2.train import main
from tests.train.faults import PLAIN, state_of


def spoil(monkeypatch, iterations, where):
    """Replace the loss, or only its gradient, by nan in some iterations."""
    compute, calls = SeesawLoss.compute, iter(range(1000))

    def spoilt(self, logits, *args, **kwargs):
        bad = next(calls) in iterations
        if bad and where == "gradient":
            logits.register_hook(lambda grad: grad * float("nan"))
        losses = compute(self, logits, *args, **kwargs)
        return {name: loss * float("nan") for name, loss in losses.items()} if bad and where == "loss" else losses

    monkeypatch.setattr(SeesawLoss, "compute", spoilt)


# The host reads the metrics in every iteration, or later.
TOLD = {"at once": [], "late": ["SOLVER.OPTIMIZER_IMPLEMENTATION", "fused", "SOLVER.METRICS_PERIOD", "20"]}


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_ends_the_run_with_its_state(config_file, capsys, monkeypatch, where, told):
    spoil(monkeypatch, {1}, where)
    command = ["--config-file", str(config_file), *PLAIN, "SOLVER.CHECKPOINT_PERIOD", "1", *TOLD[told]]
    assert main(command) == 2
    error = capsys.readouterr().err
    folder = config_file.parent / "run"
    path = folder / "nonfinite_iter1.pth"
    assert "error: iteration 1: a loss or a gradient is not finite" in error
    assert str(path) in error
    assert "SOLVER.MAX_SKIPPED_STEPS" in error
    saved = torch.load(path, weights_only=True)
    (report,) = saved["ranks"]
    assert len(report["images"]) == 4
    assert all(f"{item['file_name']} id {item['image_id']}" in error for item in report["images"])
    assert ("loss_cls_classes nan" in error) == (where == "loss")
    assert "roi_heads.box_predictor.cls_score.weight" in report["gradients"]
    # The state before the step is that of the last checkpoint, including class counts and batch normalization.
    last = torch.load(folder / "model_0000000.pth", weights_only=True)
    torch.testing.assert_close(saved["model"], last["model"], rtol=0, atol=0)
    torch.testing.assert_close(
        saved["optimizer"]["state"], last["trainer"]["_trainer"]["optimizer"]["state"], rtol=0, atol=0
    )
    assert {"python", "numpy", "torch"} <= report["generators"].keys()


@pytest.mark.parametrize("told", TOLD)
def test_steps_that_are_skipped_change_nothing(config_file, monkeypatch, told):
    """Test that three steps, of which two are skipped, give the same state as one step, except for the iteration."""
    command = ["--config-file", str(config_file), *PLAIN, "SOLVER.MAX_SKIPPED_STEPS", "2", *TOLD[told]]
    first = config_file.parent / "first"
    assert main([*command, "OUTPUT_DIR", str(first), "SOLVER.MAX_ITER", "1"]) == 0
    spoil(monkeypatch, {1, 2}, "loss")
    assert main(command) == 0
    folder = config_file.parent / "run"
    torch.testing.assert_close(state_of(folder)["model"], state_of(first)["model"], rtol=0, atol=0)
    assert state_of(folder)["iteration"] == 2
    assert state_of(folder)["trainer"]["_trainer"]["skipped_steps"] == 2
    assert "2 of at most 2" in (folder / "log.txt").read_text()


@pytest.mark.parametrize("told", TOLD)
def test_skipped_steps_are_counted_over_a_resume(config_file, monkeypatch, capsys, told):
    command = ["--config-file", str(config_file), *PLAIN, "SOLVER.MAX_SKIPPED_STEPS", "1", *TOLD[told]]
    spoil(monkeypatch, {0, 2}, "gradient")
    assert main([*command, "SOLVER.MAX_ITER", "2"]) == 0
    assert main([*command[:2], "--resume", *command[2:]]) == 2
    assert "iteration 2" in capsys.readouterr().err


def test_gradient_clipping(config_file):
    """Test Detectron2's keys: a step of plain SGD changes a parameter by at most the learning rate times the bound."""
    solver = ["SOLVER.CLIP_GRADIENTS.ENABLED", "True", "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "value"]
    solver += ["SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "1e-3", "SOLVER.WEIGHT_DECAY", "0.0", "SOLVER.BASE_LR", "1.0"]
    command = ["--config-file", str(config_file), *PLAIN, *solver]
    assert main([*command, "SOLVER.MAX_ITER", "2", "SOLVER.CHECKPOINT_PERIOD", "1", "SOLVER.MOMENTUM", "0.0"]) == 0
    folder = config_file.parent / "run"
    before = torch.load(folder / "model_0000000.pth", weights_only=True)["model"]
    after = state_of(folder)["model"]
    moved = [
        (after[name] - before[name]).abs().max() for name in before if name.endswith(("conv1.weight", "score.weight"))
    ]
    assert 0 < max(moved) <= 1.01e-3
