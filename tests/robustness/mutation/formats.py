"""Define a file format for the mutation tests: functions that write valid files and read files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.robustness.mutation.mutators import Mutator


@dataclass(frozen=True)
class Format:
    """Define a file format.

    Attributes:
        name: name of the format, and of the folder with its files.
        write: function that writes valid files to an empty folder.
        read: function that reads the folder as a program does. It may write to the empty folder ``out`` beside it.
        mutators: dict from a pattern of file names (``Path.glob``) to a mutator. Each input has one changed file.
        share: number of inputs, relative to other formats.
        writes_inside: if True, the reader also writes to the folder, and the folder is not checked for changes.
    """

    name: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    mutators: Mapping[str, Mutator]
    share: float = 1.0
    writes_inside: bool = False


def out_of(folder: Path) -> Path:
    """Return the folder that a reader may write to."""
    return folder.parent / "out"
