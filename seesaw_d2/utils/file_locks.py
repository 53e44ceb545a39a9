"""Locks on open files, which the operating system releases when the process ends.

Without the module ``fcntl`` (Windows), files are not locked, and a warning is logged once.
"""

import errno
import functools
import logging
from types import ModuleType
from typing import IO

logger = logging.getLogger(__name__)


def lock_or_wait(file: IO[str]) -> None:
    """Lock a file for this process and those it starts. Wait while another process has the lock."""
    fcntl = _fcntl()
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)


def try_record_lock(file: IO[str]) -> bool:
    """Lock a file for this process alone, and return False if another process has the lock.

    Child processes do not inherit a record lock, and network file systems support it. If the file system does not
    support locks, return True without locking.
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
    logger.warning("this platform has no file locks (fcntl): two jobs in the same folder are not detected")
