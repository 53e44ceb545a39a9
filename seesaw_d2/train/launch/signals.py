"""Handle SIGTERM and SIGINT: finish the iteration, save a checkpoint and exit with status 143 or 130."""

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
# A second signal in this number of seconds after the first is ignored. It is often the same signal: the terminal or the
# cluster sends it to all processes, and a launcher such as torchrun forwards it to the processes again.
_SAME = 1.0


class Stopped(SystemExit):
    """Raised when a signal ends a job. The exit status is 128 + the number of the signal: 143 or 130.

    Args:
        signum: the signal.
        iteration: last iteration in the saved checkpoint, or None if no checkpoint was saved for the signal.
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
                f"interrupted by {name}: no checkpoint was saved for this signal. To continue from an earlier "
                "checkpoint, add --resume before the config overrides"
            )
        return (
            f"stopped by {name} after iteration {self.iteration}, whose checkpoint is saved. To continue, run the same "
            "command with --resume before the config overrides"
        )


class StopSignals:
    """Handlers of SIGTERM and SIGINT.

    The first signal raises Stopped, which ends the job. While ``deferred`` is True, the handler only records the first
    signal in ``signum``, so that the training can save a checkpoint first. A second signal, more than 1 second after
    the first, terminates the process immediately, without cleanup.

    Attributes:
        signum: number of the first received signal, or None if no signal was received.
        deferred: whether the handler only records the first signal, instead of raising Stopped.
    """

    def __init__(self):
        self.signum: int | None = None
        self.deferred = False
        self._since = 0.0
        self._pid = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGTERM and SIGINT in the ``with`` block, and restore the previous handlers after the block.

        Python allows signal handlers only in the main thread. In another thread, this method installs no handlers.
        """
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
        """Let signals stop the job immediately in the ``with`` block, even if ``deferred`` was True before.

        Raises:
            Stopped: a signal was recorded before the block, or arrives in the block.
        """
        deferred, self.deferred = self.deferred, False
        try:
            if self.signum is not None:
                raise Stopped(self.signum)
            yield
        finally:
            self.deferred = deferred

    def _handle(self, signum: int, frame) -> None:
        if os.getpid() != self._pid:  # a forked data loader worker has inherited this handler
            os._exit(128 + signum)
        now = time.monotonic()
        if self.signum is None:
            self.signum, self._since = signum, now
            if not self.deferred:
                raise Stopped(signum)
            name = signal.Signals(signum).name
            logging.getLogger(__name__).warning(
                f"{name}: a checkpoint will be saved after this iteration. A second signal terminates immediately"
            )
        elif now - self._since > _SAME:
            os._exit(128 + signum)


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block SIGTERM and SIGINT in the ``with`` block, and permanently in processes that are started in the block.

    Start data loader workers in this block. Clusters and terminals send signals to all processes of a job, but the
    training still needs the workers to finish its iteration. Workers exit with their loader.

    When this process exits, it kills the remaining workers. Otherwise PyTorch and multiprocessing would send SIGTERM to
    the workers, which block this signal, and wait for the workers forever.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows cannot block signals
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
            # atexit calls the last registered function first. Thus ``_end`` runs before PyTorch's exit function, which
            # would wait for each worker.
            atexit.register(_end, os.getpid(), started)


def _end(parent: int, children: list[weakref.ref]) -> None:
    """Kill the child processes that still run, when the process with the id ``parent`` exits.

    Forked processes inherit this exit function. In them, the function does nothing. ``children`` are weak references.
    """
    left = [reference() for reference in children] if os.getpid() == parent else []
    left = [child for child in left if child is not None and child.is_alive()]
    if left and threading.current_thread() is threading.main_thread():
        # PyTorch's handler of SIGCHLD would raise an error for each killed worker, and Python would print the error.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for child in left:
        child.kill()


# Signal handlers of this process. The launcher installs them. After each iteration, the training reads ``STOP.signum``,
# and stops if a signal was received.
STOP = StopSignals()
