"""Worker processes that exit with the process that started them."""

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
    """Return the number of worker processes: ``workers``, or for None the number of available cores.

    Raises:
        ConfigError: ``workers`` is neither None nor a positive integer.
    """
    if workers is None:
        affinity = getattr(
            os, "sched_getaffinity", None
        )  # Linux only: the cores available to this process, also in a container
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"workers: expected a positive integer or None, found {workers!r}")
    return workers


@contextmanager
def worker_map(workers: int, *, fork: bool = True):
    """Return a ``map`` over processes, or the built-in ``map`` for a single worker. Results are in order.

    Args:
        fork: False for work with PyTorch or another library that has threads, which a forked process lacks.
    """
    if workers == 1:
        yield map
        return
    # Forked workers start at once. Other start methods import the package and torch again.
    method = "fork" if fork and sys.platform == "linux" else None if fork else "spawn"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        yield pool.map
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():  # their tasks may take minutes
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(parent: int) -> None:
    # Ctrl-C sends SIGINT to all processes of the terminal. Workers ignore it; the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_without, args=(parent,), daemon=True).start()


def _exit_without(parent: int) -> None:
    """Exit when the parent process has ended. An idle worker would not notice it otherwise."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
