"""Test which checkpoints a training writes and keeps."""

import itertools
import json
import os
import time

import pytest
import torch

from seesaw_d2.train import main
from seesaw_d2.train.trainer import Trainer
from tests.train.faults import PLAIN, state_of


def test_a_clock_that_jumps_back_and_forth(config_file, monkeypatch):
    """Test that the order of checkpoints does not depend on the clock."""
    plain, jumps = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: plain() + (1e9 if next(jumps) % 2 else -1e9))
    command = ["--config-file", str(config_file), *PLAIN, "SOLVER.CHECKPOINT_PERIOD", "1"]
    assert main([*command, "SOLVER.MAX_ITER", "5", "SOLVER.IMS_PER_BATCH", "2"]) == 0
    folder = config_file.parent / "run"
    for path in folder.glob("model_*.pth"):
        os.utime(path, (0, 0) if "4" in path.name else None)
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert all(0 < line["time"] < 100 for line in lines if "time" in line)
    assert all(0 <= line["eta_seconds"] < 1000 for line in lines if "eta_seconds" in line)
    (folder / "last_checkpoint").unlink()
    (folder / "model_final.pth").unlink()
    assert main([*command[:2], "--resume", *command[2:], "SOLVER.MAX_ITER", "6"]) == 0
    assert "Starting training from iteration 5" in (folder / "log.txt").read_text()


def test_few_and_best_checkpoints_are_kept(config_file, monkeypatch):
    values = itertools.chain([0.1, 0.3, 0.2, float("nan")], itertools.repeat(0.3))
    monkeypatch.setattr(Trainer, "test", classmethod(lambda *_: {"segm": {"APr": next(values)}}))
    options = ["SOLVER.CHECKPOINT_PERIOD", "1", "SOLVER.CHECKPOINT_KEEP", "2", "SOLVER.CHECKPOINT_BEST", "segm/APr"]
    command = ["--config-file", str(config_file), *options, "TEST.EVAL_PERIOD", "1"]
    assert main([*command, "SOLVER.MAX_ITER", "4"]) == 0
    folder = config_file.parent / "run"
    names = {path.name for path in folder.glob("model_*.pth")}
    assert names == {"model_0000002.pth", "model_0000003.pth", "model_final.pth", "model_best.pth"}
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    best = torch.load(folder / "model_best.pth", weights_only=True)
    assert (best["value"], best["iteration"]) == (0.3, 1)
    assert best["model"].keys() == state_of(folder)["model"].keys()
    # A resumed run compares with the best value of the earlier run. 0.3 is not better.
    assert main([*command[:2], "--resume", *command[2:], "SOLVER.MAX_ITER", "5"]) == 0
    assert torch.load(folder / "model_best.pth", weights_only=True)["iteration"] == 1


@pytest.mark.parametrize("wrong", [{"value": "0.9"}, {"iteration": "0"}, {"value": float("nan")}, {"iteration": None}])
def test_a_best_checkpoint_of_others_is_replaced(config_file, monkeypatch, wrong):
    values = itertools.chain([0.2], itertools.repeat(0.3))
    monkeypatch.setattr(Trainer, "test", classmethod(lambda *_: {"segm": {"APr": next(values)}}))
    command = ["--config-file", str(config_file), "SOLVER.CHECKPOINT_BEST", "segm/APr", "TEST.EVAL_PERIOD", "1"]
    assert main([*command, "SOLVER.MAX_ITER", "1"]) == 0
    best = config_file.parent / "run/model_best.pth"
    torch.save({**torch.load(best, weights_only=True), **wrong}, best)
    assert main([*command[:2], "--resume", *command[2:], "SOLVER.MAX_ITER", "2"]) == 0
    assert torch.load(best, weights_only=True)["value"] == 0.3
    log = (config_file.parent / "run/log.txt").read_text()
    assert f"{best}: expected a finite number" in log


def test_a_best_metric_that_is_not_logged_is_named(config_file):
    unknown = ["SOLVER.CHECKPOINT_BEST", "segm/APx", "TEST.LVIS_METRICS", "['fixed']"]  # the names are not known before
    assert main(["--config-file", str(config_file), *unknown]) == 0
    folder = config_file.parent / "run"
    assert not (folder / "model_best.pth").exists()
    log = (folder / "log.txt").read_text()
    assert "SOLVER.CHECKPOINT_BEST: " in log
    assert "found 'segm/APx'" in log
    assert "segm/APr" in log


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["SOLVER.MAX_SKIPPED_STEPS", "-1"], "SOLVER.MAX_SKIPPED_STEPS: expected at least 0"),
        (["SOLVER.CHECKPOINT_KEEP", "-1"], "SOLVER.CHECKPOINT_KEEP: expected at least 0"),
        (
            ["SOLVER.CHECKPOINT_BEST", "segm/AP", "DATASETS.TEST", "()"],
            "SOLVER.CHECKPOINT_BEST 'segm/AP'",
        ),
        (["SOLVER.CHECKPOINT_BEST", "segm/APx"], "SOLVER.CHECKPOINT_BEST: expected "),
        (["SOLVER.CHECKPOINT_PERIOD", "0"], "SOLVER.CHECKPOINT_PERIOD: expected at least 1"),
    ],
)
def test_wrong_settings(config_file, capsys, options, message):
    assert main(["--config-file", str(config_file), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (config_file.parent / "run").exists()
