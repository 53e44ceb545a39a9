"""Test SIGTERM and SIGINT at every moment of a training in one process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from seesaw_d2.arguments import argument_parser
from seesaw_d2.train import main, trainer
from seesaw_d2.train.command_line import launch_job
from seesaw_d2.train.launch.signals import STOP, Stopped
from seesaw_d2.train.trainer import Trainer
from tests.train.faults import PLAIN, state_of
from tests.train.resumed_runs import assert_same_runs, log_every_iteration, metrics, options


def stop_at(monkeypatch, iteration, signum=signal.SIGTERM, place="run_step"):
    """Send this process a signal in the middle of an iteration."""
    plain = getattr(Trainer, place)

    def stopping(self, *args, **kwargs):
        if self.iter == iteration:
            os.kill(os.getpid(), signum)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, place, stopping)


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_iteration_and_saves(config_file, monkeypatch, capsys, signum, status):
    command = ["--config-file", str(config_file), *PLAIN, "SOLVER.MAX_ITER", "6", "SOLVER.CHECKPOINT_PERIOD", "100"]
    with monkeypatch.context() as patch:
        stop_at(patch, 2, signum)
        assert main(command) == status
    assert f"stopped by {signum.name} after iteration 2" in capsys.readouterr().err
    folder = config_file.parent / "run"
    assert (folder / "last_checkpoint").read_text() == "model_0000002.pth"
    assert main([*command[:2], "--resume", *command[2:]]) == 0
    assert "Starting training from iteration 3" in (folder / "log.txt").read_text()
    assert state_of(folder)["iteration"] == 5
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_metrics_of_a_stop_come_when_they_are_due(config_file, tmp_path, monkeypatch):
    """Test that a stopped run writes its last metrics, so that the resumed run does not report removed lines."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"

    def command(folder):
        return ["--config-file", str(config_file), *options(folder, "SOLVER.CHECKPOINT_PERIOD", "100")]

    assert main(command(whole)) == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 2, signal.SIGINT)
        assert main(command(parts)) == 130
    assert "'iteration': 2" in metrics(parts)[-1]
    assert main([*command(parts)[:2], "--resume", *command(parts)[2:]]) == 0
    assert_same_runs(whole, parts)
    assert "metrics.json" not in (parts / "log.txt").read_text()


@pytest.mark.parametrize(("options", "resumable"), [([], True), (["--eval-only"], False)])
def test_only_a_training_can_be_resumed(capsys, options, resumable):
    def prepare(args, world):
        raise Stopped(signal.SIGINT)

    assert launch_job(argument_parser().parse_args(options), prepare) == 130
    err = capsys.readouterr().err
    assert "SIGINT" in err
    assert ("--resume" in err) == resumable


def test_a_signal_in_the_last_iteration_and_before_the_first(config_file, monkeypatch, capsys):
    command = ["--config-file", str(config_file), *PLAIN]
    with monkeypatch.context() as patch:
        stop_at(patch, 0, place="resume_or_load")
        assert main(command) == 143
    assert "interrupted by SIGTERM" in capsys.readouterr().err
    folder = config_file.parent / "run"
    assert not list(folder.glob("model_*"))
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        assert main([*command[:2], "--resume", *command[2:]]) == 143
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"


def test_a_signal_during_an_evaluation_ends_it_at_once(config_file, monkeypatch, capsys):
    build = trainer.build_evaluator

    def signalled(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return build(*args, **kwargs)

    monkeypatch.setattr(trainer, "build_evaluator", signalled)
    command = ["--config-file", str(config_file)]
    assert main(command) == 143
    folder = config_file.parent / "run"
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    assert not list(folder.glob("inference/*/results.json"))
    capsys.readouterr()
    monkeypatch.setattr(trainer, "build_evaluator", build)
    assert main([*command, "--resume"]) == 0
    assert list(folder.glob("inference/*/results.json"))


def test_a_signal_during_an_evaluation_in_between_loses_nothing(config_file, tmp_path, monkeypatch):
    """Test that iterations since the last periodic checkpoint are saved, and resumed bit for bit."""
    log_every_iteration(monkeypatch)
    build, whole, parts = trainer.build_evaluator, tmp_path / "whole", tmp_path / "parts"

    def command(folder):
        often = options(folder, "SOLVER.CHECKPOINT_PERIOD", "5", "TEST.EVAL_PERIOD", "2")
        return ["--config-file", str(config_file), *often]

    assert main(command(whole)) == 0
    # Checkpoints that were saved for evaluations are removed.
    assert {path.name for path in whole.glob("model*")} == {"model_0000004.pth", "model_final.pth"}
    evaluations = iter(["first"])

    def signalled(*args, **kwargs):
        if next(evaluations, None) is None:
            os.kill(os.getpid(), signal.SIGTERM)
        return build(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "build_evaluator", signalled)
        assert main(command(parts)) == 143
    assert {path.name for path in parts.glob("model*")} == {"model_0000003.pth"}
    assert (parts / "last_checkpoint").read_text() == "model_0000003.pth"
    arguments = command(parts)
    assert main([*arguments[:2], "--resume", *arguments[2:]]) == 0
    assert "Starting training from iteration 4" in (parts / "log.txt").read_text()
    assert_same_runs(whole, parts)


def test_a_second_signal_ends_at_once():
    """Test a process that ignores the first signal. A signal right after the first one counts as the same signal."""
    pid = os.fork()
    if pid == 0:
        with STOP.installed():
            STOP.deferred = True
            for pause in (0, 0.2, 1.1):
                time.sleep(pause)
                os.kill(os.getpid(), signal.SIGINT)
            os._exit(0)
    start = time.monotonic()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert time.monotonic() - start > 1


def test_no_handlers_outside_the_main_thread():
    seen = []

    def use():
        with STOP.installed():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_a_program_that_still_holds_its_loader_exits():
    """Test that a program exits after an error. The traceback keeps the loader, and its workers get no SIGTERM."""
    program = """
import atexit, time
from torch.utils.data import DataLoader
atexit.register(time.sleep, 0.5)  # what is registered first runs last: after the workers' end
from seesaw_d2.train.launch.signals import signals_blocked
with signals_blocked():
    held = iter(DataLoader(range(100), num_workers=2, persistent_workers=True))
    next(held)
print([worker.pid for worker in held._workers])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    for pid in json.loads(result.stdout):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
