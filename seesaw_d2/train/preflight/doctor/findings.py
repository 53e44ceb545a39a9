"""Print and collect the results of the checks in ``tools/doctor.py``."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from seesaw_d2.errors import SeesawError


class Findings:
    """Prints the results of checks. Each line below a section title begins with "ok", "note" or "FIX".

    Args:
        stream: output stream. If None, standard output.

    Attributes:
        to_fix: texts of the problems that the user must fix.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.to_fix: list[str] = []

    def ok(self, text: str) -> None:
        """Print the result of a passed check."""
        self._print("ok  ", text)

    def note(self, text: str) -> None:
        """Print a possible problem, which the user may have intended, such as categories without training images."""
        self._print("note", text)

    def fix(self, text: str) -> None:
        """Print and collect a problem that would stop a training or make its results worse. The user must fix it."""
        self.to_fix.append(text)
        self._print("FIX ", text)

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Print a section title. Report an error that the ``with`` block raises as a problem to fix, and continue."""
        print(title, file=self.stream, flush=True)
        with self.attempt():
            yield

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Report an error that the ``with`` block raises as a problem to fix, and continue after the block."""
        try:
            yield
        except SeesawError as error:
            self.fix(str(error))
        except Exception as error:  # after an error in a library, the other checks still run
            self.fix(f"{type(error).__name__}: {error}")

    def run(self, checks: Iterable[Callable[[], object]]) -> None:
        """Call all checks, even if one fails. Report each error that a check raises as a problem to fix."""
        for check in checks:
            with self.attempt():
                check()

    def _print(self, kind: str, text: str) -> None:
        text = text.replace("\n", "\n        ")
        print(f"  {kind}  {text}", file=self.stream, flush=True)
