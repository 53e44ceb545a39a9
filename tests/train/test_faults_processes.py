"""Test faults in one of two processes, and signals to the processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch.distributed as dist
from detectron2.modeling.proposal_generator import RPN

from seesaw_d2.config.loading import load_config
from seesaw_d2.losses import SeesawLoss
from seesaw_d2.train.checkpoints.resume_files import resume_file
from seesaw_d2.train.command_line import argument_parser
from seesaw_d2.train.launch.launcher import Group, launch
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.launch.signals import Stopped
from seesaw_d2.train.launch.supervision import RankFailed
from seesaw_d2.train.preflight.run_lock import RunLock
from seesaw_d2.train.run import run
from seesaw_d2.train.trainer import Trainer
from tests.train.faults import PLAIN, state_of


def one_of_two(config_file, how):
    """Train in two processes. The fault occurs in the second process, in iteration 1."""
    cfg = load_config(config_file, [*PLAIN, "SOLVER.MAX_SKIPPED_STEPS", "1"])
    step, second = Trainer.run_step, dist.get_rank() == 1

    def happens(self):
        if self.iter == 1 and how in ("killed", "SIGTERM") and second:
            os.kill(os.getpid(), signal.SIGKILL if how == "killed" else signal.SIGTERM)
        step(self)

    Trainer.run_step = happens
    compute, calls = SeesawLoss.compute, iter(range(1000))

    def spoilt(self, logits, *args, **kwargs):
        losses = compute(self, logits, *args, **kwargs)
        bad = how == "nan" and second and next(calls) == 1
        return {name: loss * float("nan") for name, loss in losses.items()} if bad else losses

    SeesawLoss.compute = spoilt
    decode, decoded = RPN._decode_proposals, iter(range(1000))

    def spoilt_boxes(self, *args):
        boxes = decode(self, *args)
        bad = how == "nan boxes" and second and next(decoded) == 1
        return [each * float("nan") for each in boxes] if bad else boxes

    RPN._decode_proposals = spoilt_boxes
    if how == "empty" and second:
        build = Trainer.build_train_loader.__func__
        Trainer.build_train_loader = classmethod(lambda cls, cfg: Emptied(build(cls, cfg)))
    run(cfg, argument_parser().parse_args([]))


class Emptied:
    """Yield the batches of a loader without objects."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        for batch in self.loader:
            for item in batch:
                item["instances"] = item["instances"][:0]
            yield batch


def two(config_file, how):
    folder = config_file.parent / "run"
    world = ProcessLayout(2, 2, starter="--num-processes")
    launch(one_of_two, world, Group("cpu", 1.0, str(folder)), (str(config_file), how))
    return folder


@pytest.mark.slow
def test_a_process_killed_in_training(config_file):
    with pytest.raises(RankFailed, match=r"rank 1 of 2 failed.*\n.* killed by SIGKILL"):
        two(config_file, "killed")
    lock = RunLock(str(config_file.parent / "run"))
    lock.acquire()
    lock.release()


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_iteration(config_file):
    with pytest.raises(Stopped) as stopped:
        two(config_file, "SIGTERM")
    assert (stopped.value.code, stopped.value.iteration) == (143, 1)
    assert (config_file.parent / "run/last_checkpoint").read_text() == "model_0000001.pth"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["nan", "nan boxes"])
def test_nan_in_one_of_two_processes_is_skipped_by_both(config_file, how):
    folder = two(config_file, how)
    log = (folder / "log.txt").read_text()
    assert "rank 1: " in log
    assert "1 of at most 1" in log
    counts = state_of(folder)["model"]["roi_heads.box_predictor.cls_loss.class_counts"]
    assert counts.sum() == 2 * 4 * 64  # two of three iterations


@pytest.mark.slow
def test_a_process_without_foreground(config_file):
    folder = two(config_file, "empty")
    state = state_of(folder)
    assert state["iteration"] == 2
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.mark.slow
def test_sigterm_to_the_command(config_file):
    """Test SIGTERM to all processes, including workers, as on a cluster, while the parent also forwards the signal."""
    command = [sys.executable, "train_net.py", "--config-file", str(config_file), "--num-processes", "2"]
    options = [*PLAIN, "SOLVER.MAX_ITER", "100000", "SOLVER.CHECKPOINT_PERIOD", "100000", "DATALOADER.NUM_WORKERS", "1"]
    process = subprocess.Popen(
        [*command, *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics = config_file.parent / "run/metrics.json"
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143, error
    assert "stopped by SIGTERM after iteration" in error
    assert "Traceback" not in error
    iteration = int((config_file.parent / "run/last_checkpoint").read_text()[6:13])
    assert f"after iteration {iteration}," in error


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend=c10d"]
TORCHRUN += ["--rdzv-endpoint=localhost:0", "--monitor-interval=0.2"]


def under_torchrun(config_file, *options):
    command = [*TORCHRUN, *options, "train_net.py", "--config-file", str(config_file), *PLAIN]
    command += ["SOLVER.MAX_ITER", "100000", "SOLVER.CHECKPOINT_PERIOD", "10"]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)


def workers_of(process):
    """Return the ids of the two processes that torchrun started."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ProcessLookupError):
            continue
        ranks = [entry[5:] for entry in environ if entry.startswith(b"RANK=")]
        if parent == process.pid and ranks:
            found[int(ranks[0])] = int(folder.name)
    return [found[rank] for rank in sorted(found)]


@pytest.mark.slow
def test_torchrun_restarts_and_the_run_resumes_by_itself(config_file):
    process = under_torchrun(config_file, "--max-restarts=1")
    folder = config_file.parent / "run"
    wait_for((folder / "last_checkpoint").exists, process)
    os.kill(workers_of(process)[1], signal.SIGKILL)
    wait_for(lambda: (folder / "log.txt").read_text().count("Starting training from iteration") == 2, process)
    process.terminate()  # torchrun forwards the signal
    _, error = process.communicate(timeout=60)
    starts = [line for line in (folder / "log.txt").read_text().splitlines() if "Starting training from" in line]
    assert starts[0].endswith("iteration 0")
    assert int(starts[1].rpartition(" ")[2]) >= 10
    assert "stopped by SIGTERM after iteration" in error
    assert resume_file(str(folder)).path.endswith((folder / "last_checkpoint").read_text())


@pytest.mark.slow
def test_torchrun_killed_ends_its_processes_with_a_checkpoint(config_file):
    process = under_torchrun(config_file)
    folder = config_file.parent / "run"
    wait_for((folder / "last_checkpoint").exists, process)
    process.kill()
    _, error = process.communicate(timeout=60)  # wait until both processes have closed the stream
    assert "stopped by SIGTERM after iteration" in error
    iteration = int((folder / "last_checkpoint").read_text()[6:13])
    assert f"after iteration {iteration}," in error
