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
    """Return ``run(folder, *overrides, stop=k)``, which trains with --resume up to an error in iteration k."""
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
        with pytest.raises(Interrupted) as error:
            main(command)
        assert error.tb is not None  # the traceback keeps the trainer alive, but no process that loads images
        assert not multiprocessing.active_children()

    return train


@pytest.mark.parametrize("workers", [pytest.param("0", marks=pytest.mark.slow), "2"])
def test_interrupted_twice(run, tmp_path, workers):
    """Test interruptions in an iteration after a checkpoint, and right after a checkpoint and an evaluation."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole)
    run(parts, "DATALOADER.NUM_WORKERS", workers, stop=3)
    run(parts, "DATALOADER.NUM_WORKERS", workers, stop=4)
    run(parts, "DATALOADER.NUM_WORKERS", workers)
    assert_same_runs(whole, parts)
    assert len(metrics(whole)) > ITERATIONS
    logged = metrics(whole)
    assert all("class_counts/share_rare" in line for line in logged if "class_counts/total" in line)
    run(whole)  # the run is finished, so that nothing happens
    assert metrics(whole) == logged
    # The resumed run removed the lines of iteration 2, after the last checkpoint, and of iteration 3.
    assert "lines of iterations from 2 on" in (parts / "log.txt").read_text()


# Config overrides that add other components with a state.
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
    """Test that after a kill during the last evaluation, the evaluation is repeated and logged once."""
    run(tmp_path / "run")
    state, lines = final_state(tmp_path / "run"), metrics(tmp_path / "run")
    run(tmp_path / "run")
    assert metrics(tmp_path / "run") == lines
    assert final_state(tmp_path / "run")["iteration"] == state["iteration"] == ITERATIONS - 1


def test_a_seed_that_was_drawn_is_kept(run, tmp_path):
    """Test that with SEED -1, each run draws a seed, and a resumed run keeps this seed."""
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
    torch.set_num_threads(1)  # use one thread, because other threads do not survive a fork
    main(command)


def killed(command: list[str], seconds: float, folder: Path | None = None) -> bool:
    """Return whether SIGKILL after ``seconds`` ended a process with this command. With a folder, count from the time at
    which the process starts to write a checkpoint to the folder."""
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
    """Test SIGKILL at a random moment of a run, and while a checkpoint is written."""
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
