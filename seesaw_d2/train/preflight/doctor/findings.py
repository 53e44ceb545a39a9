"""Print the findings of an examination."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from seesaw_d2.errors import SeesawError


class Findings:
    """Printer of findings. Each line below a section title begins with "ok", "note" or "FIX".

    Args:
        stream: output stream. If None, standard output.

    Attributes:
        to_fix: texts of the problems that the user must fix.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.to_fix: list[str] = []

    def ok(self, text: str) -> None:
        """Report a passed check."""
        self._print("ok  ", text)

    def note(self, text: str) -> None:
        """Report a finding that the user may have intended."""
        self._print("note", text)

    def fix(self, text: str) -> None:
        """Report a problem to fix, which would stop a training or make its results worse."""
        self.to_fix.append(text)
        self._print("FIX ", text)

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Print the title of a section. Report an error in the ``with`` block as a problem to fix."""
        print(title, file=self.stream, flush=True)
        with self.attempt():
            yield

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Report an error in the ``with`` block as a problem to fix."""
        try:
            yield
        except SeesawError as error:
            self.fix(str(error))
        except Exception as error:  # raised by a library: report it, and continue with the other checks
            self.fix(f"{type(error).__name__}: {error}")

    def run(self, checks: Iterable[Callable[[], object]]) -> None:
        """Run all checks, and report each error as a problem to fix."""
        for check in checks:
            with self.attempt():
                check()

    def _print(self, kind: str, text: str) -> None:
        text = text.replace("\n", "\n        ")
        print(f"  {kind}  {text}", file=self.stream, flush=True)
