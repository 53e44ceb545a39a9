"""Kill training processes and all their children repeatedly, and resume the training."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train.resumed_runs import assert_same_runs, options

# About three lines of metrics.json. One line is about an iteration with a checkpoint and an evaluation.
LENGTH = ["SOLVER.MAX_ITER", "46", "SOLVER.STEPS", "(30,)", "SOLVER.CHECKPOINT_PERIOD", "5", "TEST.EVAL_PERIOD", "20"]


def start(config_file: Path, run: Path, processes: int, *overrides) -> subprocess.Popen:
    """Start train_net.py in a new session."""
    arguments = ["--config-file", str(config_file), "--resume", "--num-processes", str(processes)]
    with open(run.with_suffix(".txt"), "ab") as output:
        return subprocess.Popen(
            [sys.executable, "train_net.py", *arguments, *options(run, *LENGTH, *overrides)],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def kill(process: subprocess.Popen, run: Path, rng: random.Random) -> None:
    """Kill all processes of the session at a random moment, or while the next checkpoint is written."""
    before = set(run.glob("model*"))
    writing = rng.random() < 0.5
    wanted = (lambda: set(run.glob("model*")) != before) if writing else (run / "metrics.json").exists
    while process.poll() is None and not wanted():
        time.sleep(0.0005)
    time.sleep(rng.uniform(0, 0.005 if writing else 3.0))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_moments(config_file, tmp_path, processes, workers):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start(config_file, whole, processes).wait(600) == 0
    seed = random.randrange(10**6)
    print(f"moments of seed {seed}")
    rng, kills = random.Random(seed), 0
    while True:
        process = start(config_file, parts, processes, "DATALOADER.NUM_WORKERS", workers)
        if kills == 4:
            break
        kill(process, parts, rng)
        kills += 1
        if (parts / "model_final.pth").exists():  # this is the last checkpoint. Only the evaluation follows
            process = start(config_file, parts, processes, "DATALOADER.NUM_WORKERS", workers)
            break
    assert process.wait(600) == 0, parts.with_suffix(".txt").read_text()[-3000:]
    assert_same_runs(whole, parts)
