"""Define a file format for the mutation tests: functions that write valid files and read files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.robustness.mutation.mutators import Mutator


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        name: of the format, and of the folder with its files.
        write: writes valid files into an empty folder.
        read: reads the folder as a program does. It may write into the folder's neighbour ``out``, which is empty.
        mutators: pattern of file names (``Path.glob``) -> mutator. One of the files is changed at a time.
        share: number of inputs, relative to the other formats.
        writes_inside: whether the reader also writes into the folder, which is then not compared.
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
