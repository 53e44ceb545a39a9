"""Worker processes that end with the process that started them."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from seesaw_d2.errors import ConfigError


def count_workers(workers: int | None) -> int:
    """The number of processes: ``workers``, or one for each core that may be used.

    Raises:
        ConfigError: ``workers`` is neither None nor a positive integer.
    """
    if workers is None:
        affinity = getattr(os, "sched_getaffinity", None)  # Linux: what a container may use
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"workers: expected a positive integer or None, found {workers!r}")
    return workers


@contextmanager
def worker_map(workers: int):
    """A ``map`` over processes, or the built-in one for a single worker; results come in order."""
    if workers == 1:
        yield map
        return
    # A fork starts at once; elsewhere the workers import the package again, torch included.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(parent: int) -> None:
    # Ctrl-C reaches every process of the terminal; the parent alone decides what follows.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_without, args=(parent,), daemon=True).start()


def _exit_without(parent: int) -> None:
    """Ends this process when the parent is gone, which a worker waiting for work would never notice."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
