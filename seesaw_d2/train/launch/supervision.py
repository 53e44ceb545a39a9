"""Supervise spawned processes: forward signals, and terminate all processes if one of them fails.

``torch.distributed.launcher.elastic_launch`` cannot replace this module, because it kills processes 30 seconds after
SIGTERM, even while a process saves its checkpoint.
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

# After the first reported failure, wait _SETTLE seconds for reports of processes that failed earlier. After each
# request to print a stack, wait _STACKS seconds, so that the stacks of two processes do not mix.
_SETTLE, _STACKS = 1.0, 0.5


class RankFailed(RuntimeError):
    """Raised if a spawned process fails. The message contains its rank, and its traceback or fatal signal."""


@dataclass(frozen=True)
class Failure:
    """Report of a failed process. The process sends it, or the parent process creates it for a killed process.

    Args:
        rank: rank of the process.
        text: traceback or, if ``mistake`` is True, message of a SeesawError.
        mistake: whether the process raised a SeesawError, which reports a mistake in the input.
        timeout: whether a collective operation timed out.
        when: time of the failure in seconds, to find the earliest failure. All processes of a machine use the same
            clock.
    """

    rank: int
    text: str
    mistake: bool = False
    timeout: bool = False
    when: float = field(default_factory=time.monotonic)


class _Rank:
    """A spawned process and what it has reported to this process.

    Attributes:
        rank: rank of the process.
        process: the process, of class ``multiprocessing.Process``.
        reports: connection from which this object reads the messages of the process.
        ready: whether the process has reported that it handles signals.
        outcome: the Failure or the Stopped that the process has reported, or None if it has reported neither.
        silent: whether the process has closed its end of the connection.
    """

    def __init__(self, rank: int, process, reports: connection.Connection):
        self.rank, self.process, self.reports = rank, process, reports
        self.ready, self.silent, self.outcome = False, False, None

    def poll(self) -> None:
        """Read all messages that the process has sent, without waiting for new messages."""
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
    """Spawn one process for each element of ``jobs``, and wait for all processes.

    Args:
        target: function to run in the processes, as ``target(connection, *job)``. If it fails or a signal stops it, it
            sends a Failure or a Stopped to the connection.
        jobs: further arguments of ``target`` for each process.
        first_rank: rank of the first process. The ranks of the other processes follow.
        size: number of processes in the job on all machines, for messages.

    Raises:
        SeesawError: a process reported a mistake in the input.
        Stopped: a signal stopped the processes.
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
                if received:  # the handler does not forward signals to processes outside ``ranks``
                    raise Stopped(received[0])
            outcome = _first_outcome(ranks)
        finally:
            _kill(ranks)
    if isinstance(outcome, Stopped):
        raise outcome
    if outcome is not None and received:
        raise Stopped(received[0])  # the processes failed because they received this signal
    if outcome is not None and outcome.mistake:
        raise SeesawError(outcome.text)
    if outcome is not None:
        raise RankFailed(f"rank {outcome.rank} of {size} failed. The other processes were terminated.\n{outcome.text}")


def _first_outcome(ranks: list[_Rank]) -> Failure | Stopped | None:
    """Wait until a process fails or all processes exit. Return its Failure or Stopped, or None after success."""
    while True:
        _wait(ranks, None)
        running = any(rank.alive for rank in ranks)  # check this first, because a process may exit in the next lines
        if any(rank.lost or isinstance(rank.outcome, Failure) for rank in ranks):
            return _root(ranks)
        stopped = [rank.outcome for rank in ranks if isinstance(rank.outcome, Stopped)]
        # With a saved checkpoint, all processes stop after the same iteration. Wait until all of them have exited.
        if any(stop.iteration is None for stop in stopped) or not running:
            return stopped[0] if stopped else None


def _root(ranks: list[_Rank]) -> Failure | Stopped:
    """Return why the job failed: a signal, a killed process or, otherwise, the earliest failure of a process.

    Call this function after one process has failed. If a collective operation timed out, all stacks are printed.
    """
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
    """Wait at most ``timeout`` seconds until a process sends a message or exits. Then read all messages."""
    watched = [rank.process.sentinel for rank in ranks if rank.alive]
    watched += [rank.reports for rank in ranks if not rank.silent]
    if watched:  # with an empty list, wait() would never return
        connection.wait(watched, timeout)
    for rank in ranks:
        rank.process.join(0)
        rank.poll()


def _print_stacks(ranks: list[_Rank]) -> None:
    """Make the running processes print their stacks with ``faulthandler``, to show where they wait."""
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
    """Kill the remaining processes with SIGKILL, because a process in a collective would ignore other signals."""
    for rank in ranks:
        if rank.alive:
            rank.process.kill()
    for rank in ranks:
        rank.process.join()
        rank.reports.close()


@contextmanager
def _forwarding(ranks: list[_Rank], received: list[int]) -> Iterator[None]:
    """Forward SIGTERM and SIGINT to the processes. If a process does not handle signals yet, kill all processes.

    Args:
        ranks: the processes. The list may grow in the ``with`` block.
        received: list to which the handler appends the number of each received signal.
    """

    def forward(signum, frame):
        received.append(signum)
        passed = signum if all(rank.ready for rank in ranks) else signal.SIGKILL
        for rank in ranks:
            if rank.alive:
                os.kill(rank.process.pid, passed)

    try:
        before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # Python allows signal handlers only in the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
