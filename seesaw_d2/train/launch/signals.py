"""SIGTERM and SIGINT: a training finishes its iteration, saves, and ends with an exit status that says so."""

import atexit
import logging
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Launchers pass a signal on to processes that have it already, from the terminal or from the cluster: what comes so
# soon after the first one is the same. Seconds.
_SAME = 1.0


class Stopped(SystemExit):
    """A job that a signal has ended; its exit status is 128 + the signal's number: 143, 130.

    Args:
        signum: the signal.
        iteration: the last one that is in a checkpoint if the training was saved for it; None if it ended at once.
    """

    def __init__(self, signum: int, iteration: int | None = None):
        super().__init__(128 + signum)
        self.signum, self.iteration = signum, iteration

    def __reduce__(self):
        return Stopped, (self.signum, self.iteration)

    def __str__(self) -> str:
        name = signal.Signals(self.signum).name
        if self.iteration is None:
            return (
                f"interrupted ({name}): nothing was saved for it; a training that has written a checkpoint goes on "
                "from there with --resume before the first KEY"
            )
        return (
            f"stopped by {name} after iteration {self.iteration}, which is saved: "
            "the same command with --resume, before the first KEY, goes on from there"
        )


class StopSignals:
    """What has come. A first signal ends the job at once, or is only noted while ``deferred``; a second one always
    ends it at once, without any clearing up."""

    def __init__(self):
        self.signum: int | None = None
        self.deferred = False
        self._since = 0.0
        self._pid = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle the signals here. Python allows it in the main thread alone: elsewhere this does nothing."""
        self.signum, self.deferred, self._pid = None, False, os.getpid()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = [signal.signal(number, self._handle) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Signals in the block end the job without waiting for the iteration, and so does one that has come before."""
        deferred, self.deferred = self.deferred, False
        try:
            if self.signum is not None:
                raise Stopped(self.signum)
            yield
        finally:
            self.deferred = deferred

    def _handle(self, signum: int, frame) -> None:
        if os.getpid() != self._pid:  # a loader's worker, forked
            os._exit(128 + signum)
        now = time.monotonic()
        if self.signum is None:
            self.signum, self._since = signum, now
            if not self.deferred:
                raise Stopped(signum)
            name = signal.Signals(signum).name
            logging.getLogger(__name__).warning(f"{name}: saving after this iteration; again: ends at once")
        elif now - self._since > _SAME:
            os._exit(128 + signum)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold the signals back in the block, and for ever in processes that are started in it.

    For loaders' workers: clusters and terminals signal all of a job's processes, and a training that is to finish its
    iteration needs them. They end with their loader, or when this process exits: PyTorch and multiprocessing would then
    send them SIGTERM, which they do not get, and wait for them for ever.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    others = set(multiprocessing.active_children())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        started = [weakref.ref(child) for child in multiprocessing.active_children() if child not in others]
        if started:
            # What is registered last runs first: before PyTorch, which waits five seconds for each worker.
            atexit.register(_end, os.getpid(), started)


def _end(parent: int, children: list[weakref.ref]) -> None:
    """Kill what is left of the processes, in the one that has started them."""
    left = [reference() for reference in children] if os.getpid() == parent else []
    left = [child for child in left if child is not None and child.is_alive()]
    if left and threading.current_thread() is threading.main_thread():
        # PyTorch's handler raises an error where a worker is killed, and Python prints it after the last word.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in left:
        child.kill()


# The signals of this process: the command line installs it, the trainer asks it.
STOP = StopSignals()
