"""The findings of an examination, printed one by one."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from seesaw_d2.errors import SeesawError


class Findings:
    """Print lines ``ok``, ``note`` and ``FIX`` below the titles of sections.

    Args:
        stream: where they are printed; standard output by default.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.to_fix: list[str] = []

    def ok(self, text: str) -> None:
        """Report something that is right."""
        self._print("ok  ", text)

    def note(self, text: str) -> None:
        """Report something that may be intended."""
        self._print("note", text)

    def fix(self, text: str) -> None:
        """Report a problem that a training would fail at or suffer from."""
        self.to_fix.append(text)
        self._print("FIX ", text)

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Print the title of a part of the examination. An error in the block becomes a problem to fix."""
        print(title, file=self.stream, flush=True)
        with self.attempt():
            yield

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Turn an error in the block into a problem to fix."""
        try:
            yield
        except SeesawError as error:
            self.fix(str(error))
        except Exception as error:  # of a library; the other parts are still examined
            self.fix(f"{type(error).__name__}: {error}")

    def run(self, checks: Iterable[Callable[[], object]]) -> None:
        """Run all checks; each error is a problem to fix."""
        for check in checks:
            with self.attempt():
                check()

    def _print(self, kind: str, text: str) -> None:
        text = text.replace("\n", "\n        ")
        print(f"  {kind}  {text}", file=self.stream, flush=True)
