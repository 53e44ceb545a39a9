"""Test that a killed and resumed training equals the uninterrupted training bit for bit."""

import multiprocessing
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from seesaw_d2.train import main
from seesaw_d2.train.trainer import Trainer
from tests.train.resumed_runs import ITERATIONS, assert_same_runs, final_state, log_every_iteration, metrics, options


class Interrupted(Exception):
    pass


@pytest.fixture
def run(config_file, monkeypatch):
    """``run(folder, *overrides, stop=k)``: a training with --resume, up to an error in iteration k."""
    log_every_iteration(monkeypatch)
    original = Trainer.run_step

    def train(folder, *overrides, stop=None):
        def run_step(self):
            if self.iter == stop:
                raise Interrupted
            original(self)

        monkeypatch.setattr(Trainer, "run_step", run_step)
        command = ["--config-file", str(config_file), "--resume", *options(folder, *overrides)]
        if stop is None:
            assert main(command) == 0
            return
        with pytest.raises(Interrupted):
            main(command)

    return train


@pytest.mark.parametrize("workers", [pytest.param("0", marks=pytest.mark.slow), "2"])
def test_interrupted_twice(run, tmp_path, workers):
    """Interrupt in an iteration after a checkpoint, and right after a checkpoint and an evaluation."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole)
    run(parts, "DATALOADER.NUM_WORKERS", workers, stop=3)
    run(parts, "DATALOADER.NUM_WORKERS", workers, stop=4)
    run(parts, "DATALOADER.NUM_WORKERS", workers)
    assert_same_runs(whole, parts)
    assert len(metrics(whole)) > ITERATIONS
    logged = metrics(whole)
    assert all("class_counts/share_rare" in line for line in logged if "class_counts/total" in line)
    run(whole)  # it is finished
    assert metrics(whole) == logged
    # Iteration 2, which was run after the checkpoint of iteration 1, and 3, which began.
    assert "lines of iterations from 2 on" in (parts / "log.txt").read_text()


# Everything else that has a state of its own, by what the config says.
STATES = {
    "faster": [
        *("MODEL.CHANNELS_LAST", "True", "SOLVER.OPTIMIZER_IMPLEMENTATION", "fused"),
        *("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16"),
    ],
    "uniform": ["DATALOADER.SAMPLER_TRAIN", "TrainingSampler", "DATALOADER.ASPECT_RATIO_GROUPING", "False"],
    "progressive": ["DATALOADER.SAMPLER_TRAIN", "ProgressivelyBalancedSampler"],
    "precise bn": ["TEST.PRECISE_BN.ENABLED", "True", "TEST.PRECISE_BN.NUM_ITER", "2", "TEST.EVAL_PERIOD", "2"],
    "cosine": ["TEST.EVAL_PERIOD", "0", "SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR"],
    "bags": ["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "BalancedGroupSoftmaxLoss"],
    "federated": ["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FederatedLoss"],
    "loce": ["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "EquilibriumLoss"],
    "eqlv2": ["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "EqualizationLossV2"],
    "pcb": [
        *("MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance"),
        *("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False", "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER", "4"),
    ],
    "cascade": ["MODEL.ROI_HEADS.NAME", "SeesawCascadeROIHeads", "MODEL.RPN.POST_NMS_TOPK_TRAIN", "2000"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_every_state(run, tmp_path, name):
    run(tmp_path / "whole", *STATES[name])
    run(tmp_path / "parts", *STATES[name], stop=3)
    run(tmp_path / "parts", *STATES[name], stop=5)
    run(tmp_path / "parts", *STATES[name])
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")


def test_resumed_after_the_end(run, tmp_path):
    """After a kill during the last evaluation, the evaluation is repeated and logged once."""
    run(tmp_path / "run")
    state, lines = final_state(tmp_path / "run"), metrics(tmp_path / "run")
    run(tmp_path / "run")
    assert metrics(tmp_path / "run") == lines
    assert final_state(tmp_path / "run")["iteration"] == state["iteration"] == ITERATIONS - 1


def test_a_seed_that_was_drawn_is_kept(run, tmp_path):
    """With SEED -1 each run draws a seed, which a resumed run keeps."""
    run(tmp_path / "run", "SEED", "-1", stop=3)
    before = torch.load(tmp_path / "run" / "model_0000001.pth", weights_only=True)
    run(tmp_path / "run", "SEED", "-1")
    after = final_state(tmp_path / "run")
    seeds = [state["trainer"]["hooks"]["TrainingState"]["seed"] for state in (before, after)]
    assert seeds[0] == seeds[1]
    assert after["trainer"]["hooks"]["TrainingState"]["loader"]["seed"] == seeds[0]
    run(tmp_path / "other", "SEED", "-1", stop=3)
    other = torch.load(tmp_path / "other" / "model_0000001.pth", weights_only=True)
    assert other["trainer"]["hooks"]["TrainingState"]["seed"] != seeds[0]


def job(command: list[str]) -> None:
    torch.set_num_threads(1)  # threads do not survive a fork; a single one needs no others
    main(command)


def killed(command: list[str], seconds: float, folder: Path | None = None) -> bool:
    """Whether SIGKILL ended a process with that command, after so long; with a folder, so long after a checkpoint
    began to be written there."""
    process = multiprocessing.get_context("fork").Process(target=job, args=(command,))
    process.start()
    if folder:
        before = set(folder.glob("model*"))
        while process.is_alive() and set(folder.glob("model*")) == before:
            time.sleep(0.0005)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def test_killed_at_random_moments(run, one_thread, config_file, tmp_path):
    """SIGKILL at a random moment of the run, and while a checkpoint is written."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    started = time.monotonic()
    run(whole)
    duration = time.monotonic() - started
    command = ["--config-file", str(config_file), "--resume", *options(parts)]
    moment = random.random()
    print(f"kills after {moment} of the run")
    kills = [killed(command, 0.002 * moment, parts), killed(command, duration * moment)]
    assert any(kills)
    run(parts)
    assert_same_runs(whole, parts)
