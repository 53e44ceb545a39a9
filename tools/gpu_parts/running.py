"""Run a part in a separate process with a time limit, and store its log and result."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpu_parts.machine import paths
from gpu_parts.parts import Part
from gpu_parts.readers import Unreadable

SHORT = 20  # minimum time in seconds to start a part
PASSED, FAILED, UNFINISHED, NOT_RUN = "passed", "failed", "not finished", "not run"
OUT_OF_MEMORY = re.compile(r"out of memory", re.IGNORECASE)


def known(folder: Path, part: Part, key: str) -> dict:
    """Return the stored result of a part, a dict with "status", "seconds" and "rows".

    The status is "not run" if no result is stored, or if the result was stored with another key.
    """
    try:
        result = json.loads(_file(folder, part, "json").read_text())
    except (OSError, ValueError):
        result = {}
    return result if result.get("key") == key else {"status": NOT_RUN, "seconds": 0.0, "rows": []}


def finished(folder: Path, part: Part, key: str) -> dict | None:
    """Return the stored result of a part, or None if the part has not passed."""
    result = known(folder, part, key)
    return result if result["status"] == PASSED else None


def run(folder: Path, part: Part, key: str, seconds: float, root: Path) -> dict:
    """Run a part, write its log and result, and return the result.

    The part stops after ``seconds`` or after its own time limit. If ``seconds`` or an interruption stops the part, the
    next call continues with the files of the part.
    """
    start, status, rows = time.monotonic(), UNFINISHED, []
    if known(folder, part, key)["status"] != UNFINISHED:
        shutil.rmtree(folder / part.name, ignore_errors=True)
    _write(folder, part, key, status, 0.0, rows)
    for command in part.commands(folder):
        left = seconds - (time.monotonic() - start)
        if left < SHORT:
            status, rows = UNFINISHED, []
            break
        code = _logged(command, _file(folder, part, "log"), min(part.limit, left), root)
        output = _file(folder, part, "log").read_text(errors="replace")
        status, rows = _read(part, code, output, folder)
        if code is None and part.limit <= left:
            status, rows = FAILED, [("error", f"not finished after {part.limit:.0f} s")]
        if status != FAILED or not OUT_OF_MEMORY.search(output):
            break
    return _write(folder, part, key, status, time.monotonic() - start, rows)


def exit_status(results: list[dict]) -> int:
    """Return the exit status: 1 if a part failed, 0 if all parts passed, 3 in all other cases."""
    found = {result["status"] for result in results}
    if FAILED in found:
        return 1
    return 0 if found == {PASSED} else 3


def _write(folder: Path, part: Part, key: str, status: str, seconds: float, rows: list) -> dict:
    result = {"key": key, "status": status, "seconds": seconds, "rows": rows}
    _file(folder, part, "json").write_text(json.dumps(result, indent=1))
    return result


def _file(folder: Path, part: Part, suffix: str) -> Path:
    return folder / f"{part.name.replace(', ', '_').replace(' ', '_')}.{suffix}"


def _read(part: Part, code: int | None, output: str, folder: Path) -> tuple[str, list]:
    status = UNFINISHED if code is None else FAILED if code else PASSED
    try:
        return status, part.read(output, folder)
    except Unreadable as error:
        return (status, []) if status != PASSED else (FAILED, [("error", str(error))])


def _logged(command: list[str], log: Path, seconds: float, root: Path) -> int | None:
    """Run a Python command, and write its output to the file ``log``.

    Returns:
        the exit status, or None if this function killed the command after ``seconds``.
    """
    folders = [*paths(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "PYTHONUNBUFFERED": "1"}
    with log.open("w") as file:
        # Start a new process group, so that killing it also kills the command's child processes.
        process = subprocess.Popen(
            [sys.executable, *command], stdout=file, stderr=file, cwd=root, env=environment, start_new_session=True
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
