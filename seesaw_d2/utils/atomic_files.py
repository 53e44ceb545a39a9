"""Files that are there whole or not at all, whatever happens while they are written."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from seesaw_d2.errors import ConfigError, OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SUFFIX = ".tmp"


@contextmanager
def atomic_file(path: str | os.PathLike, needed: int | None = None) -> Iterator[IO[bytes]]:
    """A binary file under another name in the same folder, renamed to ``path`` when it is complete and on the disk.

    The folder is made if it is not there. After a failure what was at ``path`` is as it was, and nothing else is left;
    after the process or the machine dies, there may be a ``path.*.tmp``, which ``remove_leftovers`` removes.

    Args:
        path: the file.
        needed: bytes that will be written if they are known, for the message.

    Raises:
        OutputError: it cannot be written, for want of space or other reasons.
    """
    path = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    try:
        os.makedirs(folder, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=os.path.basename(path) + ".", suffix=_SUFFIX)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are for their owner only
        os.replace(temporary, path)
        temporary = None
        _sync_folder(folder)
    except BaseException as error:
        free = _free(folder)
        if temporary is not None:
            os.unlink(temporary)
        cause = _os_error(error)
        if cause is not None:
            raise OutputError(_message(path, cause, needed, free)) from error
        raise


def _sync_folder(folder: str) -> None:
    """Let the renaming itself survive a crash of the machine; some network file systems do not offer it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _os_error(error: BaseException | None) -> OSError | None:
    """The operating system's error behind an exception: ``torch.save`` raises another one on top of it."""
    while error is not None and not isinstance(error, OSError):
        error = (error.__cause__ or error.__context__) if isinstance(error, RuntimeError) else None
    return error


def _message(path: str, error: OSError, needed: int | None, free: int | None) -> str:
    size = "" if needed is None else f", {_megabytes(needed)} needed"
    space = f" ({_megabytes(free)} free{size})" if error.errno in _FULL and free is not None else ""
    before = "; what was there before is as it was" if os.path.exists(path) else ""
    return f"{path}: cannot be written: {error.strerror}{space}{before}"


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _free(folder: str) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file by ``atomic_file``."""
    with atomic_file(path) as file:
        file.write(text.encode())


def check_writable(folder: str, key: str) -> None:
    """Raise ConfigError, before anything is computed, for a folder that cannot be written or, if it is not there, made.

    Args:
        folder: may have yet to be made, and those above it.
        key: config key or argument that names it.
    """
    existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        kind = "file" if os.path.exists(existing) else "link to nothing"
        raise ConfigError(f"{key}: expected a folder, found the {kind} {existing}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: {folder}: expected a folder that can be written, {existing} cannot")


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder and those above it, where they are not there.

    Raises:
        OutputError: it cannot be made, or is a file.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{os.fspath(path)}: expected a folder, which cannot be made: {error.strerror}") from error


def remove_leftovers(folder: str, names: tuple[str, ...]) -> None:
    """Remove the unfinished files that an earlier process has left of files whose names start with one of these."""
    if not os.path.isdir(folder):
        return
    for entry in os.listdir(folder):
        if entry.endswith(_SUFFIX) and entry.startswith(names):
            os.unlink(os.path.join(folder, entry))
