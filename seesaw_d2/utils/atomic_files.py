"""Write files atomically: after a failure, each file is either complete or unchanged."""

import errno
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from seesaw_d2.errors import ConfigError, OutputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SUFFIX = ".tmp"
# A killed process can leave temporary files <name>.unfinished-<8 random characters>.tmp. The pattern must match only
# them, and no files of users such as "model_final.pth.my_notes.tmp".
_UNFINISHED = ".unfinished-"
_TEMPORARY = re.compile(rf"(.+){re.escape(_UNFINISHED)}[a-z0-9_]{{8}}{re.escape(_SUFFIX)}", re.DOTALL)


@contextmanager
def atomic_file(path: str | os.PathLike, needed: int | None = None) -> Iterator[IO[bytes]]:
    """Yield a temporary binary file in the folder of ``path``. After the ``with`` block, rename the file to ``path``.

    The file supports reading and writing, and is synced to disk before it is renamed. A missing folder is created. If
    writing fails or SIGTERM arrives, the temporary file is removed, and ``path`` stays unchanged. If the process is
    killed or the machine crashes, a file ``path.unfinished-*.tmp`` can remain. ``remove_leftovers`` removes such files.

    Args:
        path: path of the file to write.
        needed: number of bytes to write, for error messages, or None if unknown.

    Raises:
        OutputError: the file cannot be written, for example because the disk is full.
    """
    path = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(path))
    temporary = None
    with _exit_at_sigterm():
        try:
            os.makedirs(folder, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(
                dir=folder, prefix=os.path.basename(path) + _UNFINISHED, suffix=_SUFFIX
            )
            with os.fdopen(descriptor, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # otherwise only the owner could read the file, which mkstemp created
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


@contextmanager
def _exit_at_sigterm() -> Iterator[None]:
    """Make SIGTERM raise SystemExit in the ``with`` block, so that cleanup code runs. Do not replace other handlers."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _sync_folder(folder: str) -> None:
    """Sync a folder to disk, so that a renamed file survives a crash. Do nothing if the file system cannot sync it."""
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
    """Return the OSError behind an exception, such as a full disk, or None if there is none.

    It is the exception itself, or the cause of a RuntimeError. For example, ``torch.save`` raises a RuntimeError if
    writing raises an OSError.
    """
    while error is not None and not isinstance(error, OSError):
        error = (error.__cause__ or error.__context__) if isinstance(error, RuntimeError) else None
    return error


def _message(path: str, error: OSError, needed: int | None, free: int | None) -> str:
    size = "" if needed is None else f", {_megabytes(needed)} needed"
    space = f" ({_megabytes(free)} free{size})" if error.errno in _FULL and free is not None else ""
    before = ". The existing file is unchanged." if os.path.exists(path) else ""
    return f"{path}: cannot write the file: {error.strerror}{space}{before}"


def _megabytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"


def _free(folder: str) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file atomically: after a failure, an existing file keeps its old content. See ``atomic_file``."""
    with atomic_file(path) as file:
        file.write(text.encode())


def check_writable(folder: str, key: str) -> None:
    """Raise ConfigError if this process cannot write to a folder, or cannot create the folder if it is missing.

    Args:
        folder: path of the folder. The parent folders may be missing.
        key: config key or argument that sets the path, for the message.
    """
    if "://" in folder or "\0" in folder:
        raise ConfigError(f"{key}: expected the path of a local folder, found {folder!r}")
    existing = os.path.abspath(folder)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        kind = "file" if os.path.exists(existing) else "broken link"
        raise ConfigError(f"{key}: expected a folder, found the {kind} {existing}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{key}: {folder}: no permission to write to the folder {existing}")


def make_folder(path: str | os.PathLike) -> None:
    """Create a folder and its parents if they do not exist.

    Raises:
        OutputError: the folder cannot be created, or the path is a file.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{os.fspath(path)}: cannot create the folder: {error.strerror}") from error


def remove_leftovers(folder: str, names: re.Pattern[str]) -> None:
    """Remove the temporary files that ``atomic_file`` left in a folder when earlier processes were killed.

    Args:
        folder: path of the folder. It may be missing.
        names: pattern of the full names of the final files, without the suffix of temporary files.
    """
    if not os.path.isdir(folder):
        return
    for entry in os.listdir(folder):
        path, found = os.path.join(folder, entry), _TEMPORARY.fullmatch(entry)
        if found and names.fullmatch(found.group(1)) and os.path.isfile(path) and not os.path.islink(path):
            os.unlink(path)
