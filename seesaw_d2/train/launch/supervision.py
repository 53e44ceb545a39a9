"""Supervise spawned processes: forward signals, and terminate all processes if one of them fails.

``torch.distributed.launcher.elastic_launch`` cannot replace this module, because it kills processes 30 seconds after
SIGTERM, even if they still save their checkpoint.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any

from seesaw_d2.errors import SeesawError
from seesaw_d2.train.launch.signals import Stopped

# Waiting times in seconds: after a failure for reports of earlier failures, and for a process to print its stack.
_SETTLE, _STACKS = 1.0, 0.5


class RankFailed(RuntimeError):
    """Raised if a process fails. The message contains its rank, and its traceback or the signal that terminated it."""


@dataclass(frozen=True)
class Failure:
    """Report of a failed process.

    Args:
        rank: rank of the process.
        text: traceback or, if ``mistake`` is True, message of a SeesawError.
        mistake: whether the process raised a SeesawError, which reports a mistake in the input.
        timeout: whether a collective timed out.
        when: time in seconds. All processes of a machine use the same clock.
    """

    rank: int
    text: str
    mistake: bool = False
    timeout: bool = False
    when: float = field(default_factory=time.monotonic)


class _Rank:
    """A spawned process, and the state that its messages report.

    Attributes:
        ready: whether the process handles signals.
        outcome: a Failure or Stopped. None while the process has reported neither.
        silent: whether the process has closed its connection.
    """

    def __init__(self, rank: int, process, reports: connection.Connection):
        self.rank, self.process, self.reports = rank, process, reports
        self.ready, self.silent, self.outcome = False, False, None

    def poll(self) -> None:
        """Read the messages of the process."""
        try:
            while not self.silent and self.reports.poll():
                message = self.reports.recv()
                if message == "ready":
                    self.ready = True
                else:
                    self.outcome = message
        except (EOFError, OSError):
            self.silent = True

    @property
    def alive(self) -> bool:
        return self.process.exitcode is None

    @property
    def lost(self) -> bool:
        """Return whether the process reported no outcome, and exited with an error status or before it was ready."""
        return self.outcome is None and not self.alive and (self.process.exitcode != 0 or not self.ready)


def supervise(target: Callable[..., None], jobs: list[tuple[Any, ...]], *, first_rank: int, size: int) -> None:
    """Run ``target(connection, *job)`` in one process for each job, and wait for all processes.

    Raises:
        SeesawError, Stopped: a process raised it.
        RankFailed: a process failed or was killed, and the other processes were terminated.
    """
    context = multiprocessing.get_context("spawn")
    ranks: list[_Rank] = []
    received: list[int] = []
    with _forwarding(ranks, received):
        try:
            for number, job in enumerate(jobs):
                reports, theirs = context.Pipe(duplex=False)
                process = context.Process(target=target, args=(theirs, *job), name=f"rank {first_rank + number}")
                process.start()
                theirs.close()
                ranks.append(_Rank(first_rank + number, process, reports))
                if received:  # the handler could not forward the signal to this process
                    raise Stopped(received[0])
            outcome = _first_outcome(ranks)
        finally:
            _kill(ranks)
    if isinstance(outcome, Stopped):
        raise outcome
    if outcome is not None and received:
        raise Stopped(received[0])  # the signal killed processes that could not handle it, or was a second signal
    if outcome is not None and outcome.mistake:
        raise SeesawError(outcome.text)
    if outcome is not None:
        raise RankFailed(f"rank {outcome.rank} of {size} failed. The other processes were terminated.\n{outcome.text}")


def _first_outcome(ranks: list[_Rank]) -> Failure | Stopped | None:
    """Wait until a process fails or all processes exit. Return the failure or stop, or None after success."""
    while True:
        _wait(ranks, None)
        running = any(rank.alive for rank in ranks)  # check this first, because a process may exit at any moment
        if any(rank.lost or isinstance(rank.outcome, Failure) for rank in ranks):
            return _root(ranks)
        stopped = [rank.outcome for rank in ranks if isinstance(rank.outcome, Stopped)]
        # A process that stops after saving a checkpoint waits for all processes, which stop after the same iteration.
        if any(stop.iteration is None for stop in stopped) or not running:
            return stopped[0] if stopped else None


def _root(ranks: list[_Rank]) -> Failure | Stopped:
    """Return the cause of a failure: a stopped or killed process or, without such a process, the first failure."""
    end = time.monotonic() + _SETTLE
    while any(rank.alive and rank.outcome is None for rank in ranks) and (left := end - time.monotonic()) > 0:
        _wait(ranks, left)
    for rank in ranks:
        if isinstance(rank.outcome, Stopped):
            return rank.outcome
        if rank.lost:
            return Failure(rank.rank, _how(rank.process.exitcode))
    first = min((rank.outcome for rank in ranks if rank.outcome is not None), key=lambda failure: failure.when)
    if first.timeout:
        _print_stacks(ranks)
    return first


def _wait(ranks: list[_Rank], timeout: float | None) -> None:
    """Wait until a process sends a message or exits."""
    watched = [rank.process.sentinel for rank in ranks if rank.alive]
    watched += [rank.reports for rank in ranks if not rank.silent]
    if watched:  # with an empty list, wait() would never return
        connection.wait(watched, timeout)
    for rank in ranks:
        rank.process.join(0)
        rank.poll()


def _print_stacks(ranks: list[_Rank]) -> None:
    """Let the running processes print their stacks with ``faulthandler``."""
    for rank in ranks:
        if rank.alive and rank.outcome is None and rank.ready:
            print(f"stack of rank {rank.rank}:", file=sys.stderr, flush=True)
            os.kill(rank.process.pid, signal.SIGUSR1)
            time.sleep(_STACKS)


def _how(exitcode: int) -> str:
    if exitcode < 0:
        return f"The process was killed by {signal.Signals(-exitcode).name}"
    return f"The process exited with exit status {exitcode} without an error message"


def _kill(ranks: list[_Rank]) -> None:
    """Kill the remaining processes with SIGKILL. A process in a collective would ignore other signals."""
    for rank in ranks:
        if rank.alive:
            rank.process.kill()
    for rank in ranks:
        rank.process.join()
        rank.reports.close()


@contextmanager
def _forwarding(ranks: list[_Rank], received: list[int]) -> Iterator[None]:
    """Forward SIGTERM and SIGINT to the processes. Kill all processes if some of them cannot handle signals yet."""

    def forward(signum, frame):
        received.append(signum)
        passed = signum if all(rank.ready for rank in ranks) else signal.SIGKILL
        for rank in ranks:
            if rank.alive:
                os.kill(rank.process.pid, passed)

    try:
        before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
