"""Start worker processes that exit when their parent process exits."""

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
    """Return the number of worker processes: ``workers`` or, if ``workers`` is None, the number of available CPU cores.

    Raises:
        ConfigError: ``workers`` is neither None nor a positive integer.
    """
    if workers is None:
        # On Linux, count only the cores that this process may use. In a container, they can be fewer than
        # os.cpu_count().
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ConfigError(f"workers: expected a positive integer or None, found {workers!r}")
    return workers


@contextmanager
def worker_map(workers: int, *, fork: bool = True):
    """Yield a ``map`` function that runs in worker processes and returns the results in the order of the inputs.

    If ``workers`` is 1, yield the built-in ``map``, which runs in this process.

    Args:
        workers: >= 1, number of worker processes.
        fork: whether workers may be forked. If False, workers are spawned. Pass False for functions that use PyTorch or
            other libraries with threads, because a forked process does not have these threads.
    """
    if workers == 1:
        yield map
        return
    # Fork if possible, because it is fast. Workers that are not forked import this package and PyTorch again.
    method = "fork" if fork and sys.platform == "linux" else None if fork else "spawn"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(os.getpid(),))
    try:
        yield pool.map
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():  # otherwise, shutdown waits until their tasks end
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(parent: int) -> None:
    # Ctrl-C sends SIGINT to all processes of the terminal. Only the parent must handle it, so workers ignore it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_exit_without, args=(parent,), daemon=True).start()


def _exit_without(parent: int) -> None:
    """Exit this worker process when the process ``parent`` has exited. Otherwise, an idle worker would wait forever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
