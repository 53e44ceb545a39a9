"""Test that lazyconfig_train_net.py trains, resumes and evaluates a LazyConfig."""

import json
import os
import shutil
import signal

import pytest
import torch

from seesaw_d2.modeling import SeesawBoxPredictor
from seesaw_d2.report.page import write_report
from seesaw_d2.train.lazyconfig.job import LazyTrainer
from tests.train.lazy_configs import run
from tests.train.resumed_runs import assert_same, final_state, metrics


def test_train_resume_evaluate(lazy_config, tmp_path, capsys):
    assert run(lazy_config) == 0
    assert run(lazy_config) == 2
    assert "train.output_dir: " in capsys.readouterr().err
    assert run(lazy_config, "--resume", "train.max_iter=3", "optimizer.lr=0.0625", "optimizer.momentum=0.5") == 0
    folder = tmp_path / "run"
    groups = torch.load(folder / "model_final.pth", weights_only=True)["trainer"]["optimizer"]["param_groups"]
    assert {(group["initial_lr"], group["momentum"]) for group in groups} == {(0.0625, 0.5)}
    (line,) = [line for line in (folder / "log.txt").read_text().splitlines() if "optimizer.lr " in line]
    assert "0.0625 now" in line
    assert "optimizer.momentum" in line
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1, 2]
    results = folder / "inference/lazy_val/results.json"
    trained = results.read_text()
    assert set(json.loads(trained)) == {"bbox", "segm"}
    write_report([str(folder)], str(tmp_path / "report.html"), dataset="lazy_val")
    assert "SeesawROIHeads" in (tmp_path / "report.html").read_text()
    results.unlink()
    assert run(lazy_config, "--eval-only", f"train.init_checkpoint={folder}/model_final.pth") == 0
    assert results.read_text() == trained
    record = results.with_name("evaluation_settings.json")
    assert not record.exists()
    other = shutil.copy(folder / "model_final.pth", tmp_path / "other.pth")
    words = [f"train.init_checkpoint={other}", "model.roi_heads.box_predictor.test_topk_per_image=4"]
    assert run(lazy_config, "--eval-only", *words) == 0
    assert json.loads(record.read_text()) == {
        "MODEL.WEIGHTS": [str(folder / "model_final.pth"), str(tmp_path / "other.pth")],
        "model.roi_heads.box_predictor.test_topk_per_image": ["5", "4"],
    }


@pytest.mark.parametrize("at", [1, 4])
def test_a_signal_finishes_the_iteration_and_saves(lazy_config, tmp_path, monkeypatch, capsys, at):
    """Test a signal in the middle of a training and in the last iteration."""
    step = LazyTrainer.run_step

    def stopping(self):
        if self.iter == at:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self)

    words = ["train.max_iter=5", "train.checkpointer.period=2", "train.checkpointer.max_to_keep=1"]
    with monkeypatch.context() as patch:
        patch.setattr(LazyTrainer, "run_step", stopping)
        assert run(lazy_config, *words) == 143
    assert f"stopped by SIGTERM after iteration {at}" in capsys.readouterr().err
    folder = tmp_path / "run"
    saved = "model_0000001.pth" if at == 1 else "model_final.pth"
    assert (folder / "last_checkpoint").read_text() == saved
    assert not (folder / "inference").exists()
    assert run(lazy_config, "--resume", *words) == 0
    assert f"Starting training from iteration {at + 1}" in (folder / "log.txt").read_text()
    assert {path.name for path in folder.glob("model*")} == {"model_0000003.pth", "model_final.pth"}
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1, 2, 3, 4]
    assert (folder / "inference/lazy_val/results.json").is_file()


def test_a_signal_before_the_last_evaluation_leaves_a_record(lazy_config, tmp_path, monkeypatch):
    step = LazyTrainer.run_step

    def stopping(self):
        if self.iter == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self)

    words = ["train.max_iter=3", "train.eval_period=2"]
    with monkeypatch.context() as patch:
        patch.setattr(LazyTrainer, "run_step", stopping)
        assert run(lazy_config, *words) == 143
    record = tmp_path / "run/inference/lazy_val/evaluation_settings.json"
    assert json.loads(record.read_text()) == {"train.max_iter": ["3", "2"]}
    assert run(lazy_config, "--resume", *words) == 0
    assert not record.exists()


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(lazy_config, tmp_path):
    """Test that losses, weights, class counts, optimizer and data position are equal bit for bit."""
    words = ["train.seed=5", "train.checkpointer.period=2", "dataloader.train.num_workers=2"]
    words.append("dataloader.evaluator=null")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(lazy_config, *words, "train.max_iter=5", f"train.output_dir={whole}") == 0
    assert run(lazy_config, *words, "train.max_iter=5", f"train.output_dir={parts}") == 0
    # Simulate a kill in the fourth iteration.
    for name in ("model_0000003.pth", "model_final.pth"):
        (parts / name).unlink()
    (parts / "last_checkpoint").write_text("model_0000001.pth")
    assert run(lazy_config, "--resume", *words, "train.max_iter=5", f"train.output_dir={parts}") == 0
    assert "Starting training from iteration 2" in (parts / "log.txt").read_text()
    assert_same(final_state(whole), final_state(parts))
    assert metrics(whole) == metrics(parts)
    assert torch.load(whole / "model_final.pth", weights_only=True)["trainer"]["hooks"]["TrainingState"]["loader"]


@pytest.mark.slow
def test_two_processes(lazy_config, tmp_path):
    """Test that two processes train, evaluate and resume, and write one file of each kind."""
    words = ["--num-processes", "2"]
    assert run(lazy_config, *words) == 0
    assert run(lazy_config, *words, "--resume", "train.max_iter=3") == 0
    folder = tmp_path / "run"
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1, 2]
    assert set(json.loads((folder / "inference/lazy_val/results.json").read_text())) == {"bbox", "segm"}


def test_the_seed_decides_the_weights_and_every_step(lazy_config, tmp_path):
    losses = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        words = ["train.max_iter=1", f"train.seed={seed}", f"train.output_dir={tmp_path / name}"]
        assert run(lazy_config, *words, "dataloader.evaluator=null") == 0
        lines = (tmp_path / name / "metrics.json").read_text().splitlines()
        losses.append(json.loads(lines[0])["total_loss"])
    assert losses[0] == losses[1] != losses[2]


def test_a_step_that_is_not_finite_ends_the_run(lazy_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(SeesawBoxPredictor, "box_losses", lambda self, deltas, *_: {"loss_box_reg": deltas.sum() / 0})
    assert run(lazy_config) == 2
    message = capsys.readouterr().err
    assert "a loss or a gradient is not finite" in message
    assert "optimizer.lr, or with train.max_skipped_steps above 0" in message
    assert list((tmp_path / "run").glob("nonfinite_iter*.pth"))


def test_bfloat16(lazy_config, tmp_path):
    """Test that the layers use bfloat16, and that RoIAlign gets float32."""
    losses = {}
    for name, words in (("plain", []), ("half", ["train.amp.enabled=True", "train.amp.dtype=bfloat16"])):
        words += ["train.max_iter=1", "train.seed=3", f"train.output_dir={tmp_path / name}"]
        assert run(lazy_config, *words, "dataloader.evaluator=null") == 0
        lines = (tmp_path / name / "metrics.json").read_text().splitlines()
        losses[name] = json.loads(lines[0])["total_loss"]
    assert losses["half"] != losses["plain"]
    assert losses["half"] == pytest.approx(losses["plain"], rel=0.05)
