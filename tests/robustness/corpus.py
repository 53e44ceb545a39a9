"""Broken and hostile inputs: what a case is, and how it is tried.

A case makes a file; the reader of its kind reads it as the programs do. It must end within a time limit in an error of
this project that names the file, or in a finite result; nothing may be written, and no code in the file may run.
"""

import faulthandler
import re
import signal
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from seesaw_d2.errors import SeesawError

SECONDS = 20
# What code in a file would make in the test's folder.
CANARY = "ran"


@dataclass(frozen=True)
class Case:
    """``make(folder)`` makes the input and returns what is read of it; ``expected`` is in the error's message.

    With ``expected`` None the input is odd and right: its reader must return a finite result.
    """

    kind: str
    name: str
    make: Callable[[Path], Any]
    expected: str | None = None


def cases(kind: str, table: dict[str, tuple[Callable[[Path], Any], str | None]]) -> list[Case]:
    return [Case(kind, name, make, expected) for name, (make, expected) in table.items()]


def raw(name: str, content: bytes | str) -> Callable[[Path], str]:
    """A maker of a file with this content."""

    def make(folder: Path) -> str:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


class Hang(BaseException):
    """No ``Exception``, so that nothing but the test catches it."""


@contextmanager
def time_limit(seconds: int = SECONDS):
    def stop(*_):
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(2 * seconds, exit=True)  # where even that does not help
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(case: Case, read: Callable[[Any], Any], folder: Path) -> None:
    """Try a case; the test fails unless it ends as it must."""
    given = case.make(folder)
    before = _snapshot(folder)
    with time_limit():
        if case.expected is None:
            read(given)
        else:
            with pytest.raises(SeesawError) as caught:
                read(given)
            message = str(caught.value)
            assert re.search(case.expected, message, re.DOTALL), message
            assert "Traceback" not in message
            assert len(message) < 2000, message
    assert not (folder / CANARY).exists()
    assert _snapshot(folder) == before


def _snapshot(folder: Path) -> dict[str, Any]:
    """Every regular file below a folder, with its content."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}
