"""Open only regular files. Reading a pipe can block forever, and reading a device may never reach an end."""

import errno
import os
import stat
from collections.abc import Iterator
from typing import IO, Any

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def irregular(path: str | os.PathLike) -> str | None:
    """Return the kind of an irregular file, such as "a pipe", or None for a regular or missing file."""
    try:
        return _kind(os.stat(path).st_mode)
    except (OSError, ValueError):
        return None


def open_regular(path: str | os.PathLike, mode: str = "r", **options: Any) -> IO[Any]:
    """Open a file as the built-in ``open`` does, but raise OSError unless the file is a regular file.

    The function opens the file first, and then checks its kind. If the function checked first, another program could
    replace the file between the check and the opening. The function does not block when it opens a pipe.

    Args:
        path: path of the file.
        mode, options: arguments of ``open``.

    Raises:
        OSError: the file cannot be opened, or is a pipe, a directory, a socket or a device.
    """
    if "\0" in os.fsdecode(path):
        raise OSError(errno.EINVAL, "expected a file name without null characters", path)
    return open(path, mode, opener=_open, **options)


def read_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of a file in blocks of at most 256 kB, which is small enough for the processor's cache.

    Args:
        file: binary file, opened for reading. Open it with ``buffering=0`` to avoid a copy of each block.
    """
    while block := file.read(1 << 18):
        yield block


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0), 0o666)
    kind = _kind(os.fstat(descriptor).st_mode)
    if kind:
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"expected a regular file, found {kind}", path)
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return descriptor


def _kind(mode: int) -> str | None:
    return next((name for test, name in _KINDS if test(mode)), None)
