"""Recognize files that this project wrote, so that programs of this project do not replace or remove other files."""

import os
import re
from pathlib import Path

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.atomic_files import check_writable, make_folder, write_text
from seesaw_d2.utils.regular_files import irregular, open_regular

# This project appends the bytes DRAWN to images and videos that it draws, so that ``is_drawn`` recognizes them. Viewers
# ignore the bytes. They form an MP4 box of type "free": length in 4 bytes, type, content.
_DRAWN = b"drawn by seesaw_d2"
DRAWN = (8 + len(_DRAWN)).to_bytes(4, "big") + b"free" + _DRAWN


def is_drawn(path: str | os.PathLike) -> bool:
    """Return whether the path is a regular file that ends with ``DRAWN``: an image or a video drawn by this project."""
    if not is_plain_file(path):
        return False
    with open_regular(path, "rb") as file:
        file.seek(-min(len(DRAWN), os.path.getsize(path)), os.SEEK_END)
        return file.read() == DRAWN


def is_plain_file(path: str | os.PathLike) -> bool:
    """Return whether the path is a regular file, not a link, folder, pipe or device."""
    return os.path.isfile(path) and not os.path.islink(path)


def check_no_link(path: str | os.PathLike, key: str, expected: str = "a file") -> None:
    """Raise ConfigError if the path to write exists, and is a link or another kind of file than expected.

    Args:
        path: path of the file or folder to write.
        key: config key or argument that sets the path, for the message.
        expected: "a file", "a folder" or "a file or folder".
    """
    if not os.path.lexists(path):
        return
    kind = "a folder" if os.path.isdir(path) else irregular(path) or "a file"
    found = "a link" if os.path.islink(path) else kind
    if found.removeprefix("a ") not in expected:
        raise ConfigError(f"{key}: {os.fspath(path)}: expected {expected}, found {found}. Nothing was written.")


def check_replaceable(path: str | os.PathLike, mark: str | re.Pattern[bytes], kind: str) -> None:
    """Raise ConfigError if the file exists, but this project did not write it. A program must not replace such a file.

    Args:
        path: path of the file to write.
        mark: text, or pattern of bytes, that every file of this kind from this project contains.
        kind: description of this kind of file, for the message.
    """
    if not os.path.lexists(path):
        return
    found = "a link" if os.path.islink(path) else irregular(os.fspath(path))
    if found is None:
        with open(path, "rb") as file:
            own = re.search(re.escape(mark.encode()) if isinstance(mark, str) else mark, file.read())
            found = "" if own else "a file that this program did not write"
    if found:
        raise ConfigError(f"{os.fspath(path)}: expected {kind} or no file, found {found}. Nothing was replaced.")


def check_claimable(folder: str | os.PathLike, mark: str, key: str = "--output") -> None:
    """Raise ConfigError if a program must not write to a folder, because it contains files of users or other programs.

    The folder may be missing or empty, or contain the file ``mark``. This function does not write to the folder.

    Args:
        folder: folder to which the program writes, directly or in subfolders.
        mark: name of a file. A folder with this file belongs to the program.
        key: argument that sets the folder, for the message.
    """
    path = Path(folder, mark)
    check_no_link(folder, key, "a folder")
    check_no_link(path, key)
    check_writable(os.fspath(folder), key)
    found = [] if path.exists() or not os.path.isdir(folder) else sorted(os.listdir(folder))
    if found:
        raise ConfigError(
            f"{key}: {os.fspath(folder)}: expected an empty folder, or a folder of this program with the file {mark}, "
            f"found a folder with {found[0]} and without {mark}"
        )


def claim_folder(folder: str | os.PathLike, mark: str, key: str = "--output") -> None:
    """Create the folder, and in it the empty file ``mark``, which shows that the folder belongs to a program.

    Args:
        folder: folder to which the program writes. An existing folder must be empty or contain ``mark``.
        mark: name of the file, such as "calibration.txt".
        key: argument that sets the folder, for the message.

    Raises:
        ConfigError: the folder contains files, but not the file ``mark``, or the folder or ``mark`` is a link.
        OutputError: the folder cannot be written.
    """
    check_claimable(folder, mark, key)
    make_folder(folder)
    if not Path(folder, mark).exists():
        write_text(Path(folder, mark), "")


def holds_other(path: Path, text: str) -> bool:
    """Return whether the file ``path`` exists, and its content differs from ``text``, which a program would write.

    Raises:
        ConfigError: the path is a folder, a link or another kind of file.
    """
    check_no_link(path, "--output")
    return path.exists() and path.read_bytes() != text.encode()
