"""What goes from the folder of compiled annotation files: what nobody has used for long, and what is unfinished."""

import contextlib
import os
import shutil
import time

# How the names of folders begin that are still being written.
UNFINISHED = "tmp-"
# Seconds since a folder was last used, or since something was last written to an unfinished one: a day's is left behind
# by a process that was killed.
_UNUSED, _ABANDONED = 60 * 24 * 3600, 24 * 3600


def used(folder: str) -> None:
    """Write down that a folder is used now; one that cannot be written is nobody's to remove."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def tidy(cache: str) -> None:
    """Remove what has not been used for 60 days, and unfinished folders of a day ago. What cannot be removed stays."""
    now = time.time()
    with contextlib.suppress(OSError), os.scandir(cache) as entries:
        for entry in entries:
            age = _ABANDONED if entry.name.startswith(UNFINISHED) else _UNUSED
            if entry.is_dir(follow_symlinks=False) and now - entry.stat().st_mtime > age:
                shutil.rmtree(entry.path, ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(f"{entry.path}.lock")
