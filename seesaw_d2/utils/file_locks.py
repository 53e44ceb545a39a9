"""Lock open files. The operating system releases a lock when the process exits.

Windows does not have the module ``fcntl``. There, the functions do not lock anything, and log a warning once.
"""

import contextlib
import errno
import functools
import logging
import os
import time
from collections.abc import Iterator
from types import ModuleType
from typing import IO

logger = logging.getLogger(__name__)


def lock_or_wait(file: IO[str], seconds: float) -> None:
    """Lock a file for this process and its child processes.

    If another process holds the lock, wait at most ``seconds``, then continue without the lock.
    """
    if _fcntl() is not None:
        _lock_within(file.fileno(), seconds)


@contextlib.contextmanager
def folder_lock(folder: str, seconds: float) -> Iterator[None]:
    """Lock a folder for this process during the ``with`` block.

    If another process holds the lock, wait at most ``seconds``, then continue without the lock. On Windows and on some
    network file systems, folders cannot be locked, and this function does nothing.
    """
    if _fcntl() is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock_within(descriptor, seconds)
        yield
    finally:
        os.close(descriptor)


def _lock_within(descriptor: int, seconds: float) -> None:
    fcntl, begin = _fcntl(), time.monotonic()
    while fcntl is not None and time.monotonic() - begin < seconds:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                return
            time.sleep(0.05)


def try_record_lock(file: IO[str]) -> bool:
    """Try to lock a file for this process with a POSIX record lock. Do not wait for another process.

    Child processes do not inherit record locks. Network file systems support record locks.

    Returns:
        False if another process holds the lock. True if the file is locked, or the system does not support locks.
    """
    fcntl = _fcntl()
    if fcntl is None:
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN)
    return True


def _fcntl() -> ModuleType | None:
    try:
        import fcntl
    except ImportError:
        _warn_no_locks()
        return None
    return fcntl


@functools.cache
def _warn_no_locks() -> None:
    logger.warning("This platform has no file locks (fcntl). Two jobs in the same folder are not detected.")
