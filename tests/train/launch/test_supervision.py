"""Test that all spawned processes end, with an error about the first one, if one fails, hangs or is killed."""

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from seesaw_d2.errors import DataError, SeesawError
from seesaw_d2.train.launch.launcher import Group, launch
from seesaw_d2.train.launch.process_layout import ProcessLayout
from seesaw_d2.train.launch.signals import Stopped
from seesaw_d2.train.launch.supervision import RankFailed, supervise


def test_a_signal_while_the_processes_are_started(tmp_path, monkeypatch):
    """Test a signal while the first process starts. There is no process to which the signal can be forwarded."""
    start, signals = BaseProcess.start, iter([signal.SIGTERM])

    def signalled(self):
        for signum in signals:
            os.kill(os.getpid(), signum)
        start(self)

    monkeypatch.setattr(BaseProcess, "start", signalled)
    with pytest.raises(Stopped) as stopped:
        run_two(behave, tmp_path, "well")
    assert stopped.value.code == 143
    assert not list(tmp_path.glob("pid*"))


def leave(reports, status):
    """Exit without reporting readiness, as after an interrupt during an import."""
    os._exit(status)


def test_one_that_ends_well_before_it_began_has_failed():
    with pytest.raises(RankFailed, match=r"rank 0 of 1 failed[\s\S]*exit status 0"):
        supervise(leave, [(0,)], first_rank=0, size=1)


def run_two(function, folder, *args, timeout=1.0):
    launch(
        function,
        ProcessLayout(2, 2, starter="--num-processes"),
        Group("cpu", timeout, str(folder)),
        (str(folder), *args),
    )


def behave(folder, how):
    """Run the given behavior in process 1. Process 0 waits for process 1."""
    Path(folder, f"pid{dist.get_rank()}").write_text(str(os.getpid()))
    if dist.get_rank() == 1:
        Path(folder, "since").write_text(str(time.monotonic()))
        if how == "fails":
            raise KeyError("no such thing")
        if how == "mistake":
            raise DataError("cat.jpg: torn")
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hangs":
            time.sleep(100)
    dist.all_reduce(torch.zeros(1))
    Path(folder, f"done{dist.get_rank()}").touch()


@pytest.mark.slow
def test_two_processes_meet(tmp_path):
    run_two(behave, tmp_path, "well")
    assert {path.name for path in tmp_path.glob("done*")} == {"done0", "done1"}


@pytest.mark.parametrize(
    ("how", "expected", "messages"),
    [
        pytest.param("fails", RankFailed, ["rank 1 of 2 failed", "KeyError: 'no such thing'"], marks=pytest.mark.slow),
        ("killed", RankFailed, ["rank 1 of 2 failed", "killed by SIGKILL"]),
        pytest.param("mistake", SeesawError, ["cat.jpg: torn"], marks=pytest.mark.slow),
    ],
)
def test_one_that_fails_takes_the_other_down_and_is_named(tmp_path, how, expected, messages):
    with pytest.raises(expected) as error:
        run_two(behave, tmp_path, how)
    assert time.monotonic() - float((tmp_path / "since").read_text()) < 30  # the timeout of collectives is 60
    text = str(error.value)
    assert all(message in text for message in messages)
    assert text.rstrip().endswith(messages[-1])
    for rank in range(2):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid{rank}").read_text()), 0)


@pytest.mark.slow
def test_a_hang_ends_with_its_place(tmp_path, capfd):
    with pytest.raises(RankFailed) as error:
        run_two(behave, tmp_path, "hangs", timeout=3 / 60)
    expected = "rank 0 of 2 timed out in all_reduce, called at"
    assert expected in str(error.value)
    assert "test_supervision.py" in str(error.value)
    assert "SOLVER.COLLECTIVE_TIMEOUT: 0.05 minutes" in str(error.value)
    printed = capfd.readouterr().err
    assert "in behave" in printed[printed.index("stack of rank 1") :]
