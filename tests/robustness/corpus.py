"""Define cases of broken and hostile inputs, and run them.

A case creates a file, and a reader reads this file as the programs do. Within a time limit, the reader must
raise an error of this project that names the file, or return a finite result. Nothing may be written, and no code may
run.
"""

import faulthandler
import os
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
# File that code in an input would create in the folder of the test.
CANARY = "ran"


@dataclass(frozen=True)
class Case:
    """Define a case. ``make(folder)`` creates the input and returns its path. ``expected`` matches the error message.

    If ``expected`` is None, the input is unusual but valid, and the reader must return a finite result.
    """

    kind: str
    name: str
    make: Callable[[Path], Any]
    expected: str | None = None


def cases(kind: str, table: dict[str, tuple[Callable[[Path], Any], str | None]]) -> list[Case]:
    return [Case(kind, name, make, expected) for name, (make, expected) in table.items()]


def raw(name: str, content: bytes | str | Callable[[Path], Any]) -> Callable[[Path], str]:
    """Return a function that creates a file with this content, or calls ``content(path)``."""

    def make(folder: Path) -> str:
        path = folder / name
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


class Call:
    """Pickle as a call of a function."""

    def __init__(self, function: Callable, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def touching(folder: Path) -> Call:
    """Return an object that pickles as code that creates ``CANARY`` in the folder."""
    return Call(os.system, f"touch {folder / CANARY}")


class Hang(BaseException):
    """Error of the time limit. It is not an ``Exception``, so that only the test catches it."""


@contextmanager
def time_limit(seconds: int = SECONDS):
    def stop(*_):
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(2 * seconds, exit=True)  # exit if the signal does not stop the reader
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(case: Case, read: Callable[[Any], Any], folder: Path) -> None:
    """Run a case. Raise an AssertionError if the result is not the expected result."""
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
    """Return the content of every regular file below a folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}
