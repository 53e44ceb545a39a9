"""Lock a folder, so that only one training at a time writes to it, and record which job started the run."""

import errno
import multiprocessing
import os
import re
import socket
from collections.abc import Mapping
from typing import IO

from seesaw_d2.errors import ConfigError, OutputError
from seesaw_d2.utils.file_locks import try_record_lock
from seesaw_d2.utils.own_files import is_plain_file
from seesaw_d2.utils.regular_files import open_regular

NAME = "run.lock"


class RunLock:
    """Lock on OUTPUT_DIR with the file run.lock. The kernel releases the lock when the process exits or is killed.

    The lock is a POSIX record lock, which network file systems support. Forked workers of data loaders do not inherit
    record locks. Therefore a worker that still runs after the process was killed does not keep the folder locked. On
    Windows and on file systems without record locks, the lock has no effect.

    Args:
        folder: path of the folder. It may be missing.
    """

    def __init__(self, folder: str):
        self.folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Create the folder if it is missing, acquire the lock, and write the ids of process and job to the lock file.

        Raises:
            ConfigError: another process holds the lock.
            OutputError: the folder cannot be written.
        """
        path = os.path.join(self.folder, NAME)
        try:
            os.makedirs(self.folder, exist_ok=True)
            if os.path.lexists(path) and not is_plain_file(path):
                raise OSError(errno.ELOOP, "expected a regular file, found a link or a special file")
            file = open_regular(path, "a+")
        except OSError as error:
            raise OutputError(f"{path}: the lock file cannot be written: {error.strerror}") from error
        if not try_record_lock(file):
            raise self._in_use(file)
        parent = multiprocessing.parent_process()
        file.truncate(0)
        file.write(f"process {parent.pid if parent else os.getpid()} on {socket.gethostname()}\n{_job(os.environ)}\n")
        file.flush()
        self._file = file

    def check(self) -> None:
        """Raise ConfigError if another process holds the lock. Unlike ``acquire``, this method writes no file."""
        path = os.path.join(self.folder, NAME)
        if self._file is None and is_plain_file(path) and os.access(path, os.W_OK):
            with open_regular(path, "r+") as file:  # closing the file releases the lock that the check acquires
                if not try_record_lock(file):
                    raise self._in_use(file)

    def release(self) -> None:
        """Release the lock if this process holds it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _in_use(self, file: IO[str]) -> ConfigError:
        file.seek(0)
        owner = file.readline(200).strip() or "another process"
        file.close()
        return ConfigError(
            f"OUTPUT_DIR: {self.folder} is in use by {owner}. Wait until this process exits, terminate it, or set "
            "OUTPUT_DIR to another folder"
        )


def begun_by_a_run(folder: str) -> bool:
    """Return whether a folder contains the lock file of a run of this project, even if the run has ended."""
    try:
        with open(os.path.join(folder, NAME), errors="replace") as file:
            return re.match(r"process \d+ on .", file.read(100)) is not None
    except OSError:
        return False


def begun_by_this_job(folder: str) -> bool:
    """Return whether this job has started the run in a folder itself, before torchrun or Slurm restarted the job."""
    try:
        with open_regular(os.path.join(folder, NAME), "r", errors="replace") as file:
            lines = file.read(10_000).splitlines()
    except OSError:
        return False
    job = _job(os.environ)
    return bool(job) and lines[1:2] == [job]


def _job(environ: Mapping[str, str]) -> str:
    """Return an identifier that a job keeps when torchrun or Slurm restarts it, or "" for other jobs."""
    if "TORCHELASTIC_ERROR_FILE" in environ:
        # Remove the end attempt_<restarts>/<rank>/error.json. The rest of the path is unique to each torchrun job.
        folder = environ["TORCHELASTIC_ERROR_FILE"]
        for _ in range(3):
            folder = os.path.dirname(folder)
        return f"torchrun {folder} on {socket.gethostname()}"
    if "SLURM_JOB_ID" in environ:
        return f"Slurm {environ['SLURM_JOB_ID']}.{environ.get('SLURM_STEP_ID', '')}"
    return ""
