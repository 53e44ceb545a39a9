"""What an examination has found, printed as it is found."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from seesaw_d2.errors import SeesawError


class Findings:
    """Lines ``ok``, ``note`` and ``FIX`` below the titles of sections.

    Args:
        stream: where they are printed; standard output by default.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.to_fix: list[str] = []

    def ok(self, text: str) -> None:
        """What was looked at and is right."""
        self._print("ok  ", text)

    def note(self, text: str) -> None:
        """What is worth knowing, and may be meant."""
        self._print("note", text)

    def fix(self, text: str) -> None:
        """What a training would fail or suffer from."""
        self.to_fix.append(text)
        self._print("FIX ", text)

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """A part of the examination: its title, and its error as something to fix. The next part goes on."""
        print(title, file=self.stream, flush=True)
        with self.attempt():
            yield

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A step whose error is something to fix."""
        try:
            yield
        except SeesawError as error:
            self.fix(str(error))
        except Exception as error:  # whatever a library raises: the other parts are worth knowing all the same
            self.fix(f"{type(error).__name__}: {error}")

    def _print(self, kind: str, text: str) -> None:
        text = text.replace("\n", "\n        ")
        print(f"  {kind}  {text}", file=self.stream, flush=True)
