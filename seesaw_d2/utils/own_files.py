"""Recognize files that this project wrote, so that programs do not replace or remove other files."""

import os
import re
from pathlib import Path

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.atomic_files import check_writable, make_folder, write_text
from seesaw_d2.utils.regular_files import irregular, open_regular

# At the end of pictures and videos, where their readers pass over it: in MP4 files, it is a box of free space.
_DRAWN = b"drawn by seesaw_d2"
DRAWN = (8 + len(_DRAWN)).to_bytes(4, "big") + b"free" + _DRAWN


def is_drawn(path: str | os.PathLike) -> bool:
    """Return whether a regular file ends with ``DRAWN``."""
    if not is_plain_file(path):
        return False
    with open_regular(path, "rb") as file:
        file.seek(-min(len(DRAWN), os.path.getsize(path)), os.SEEK_END)
        return file.read() == DRAWN


def is_plain_file(path: str | os.PathLike) -> bool:
    """Return whether the path is a regular file, and not a link, folder, pipe or device."""
    return os.path.isfile(path) and not os.path.islink(path)


def check_no_link(path: str | os.PathLike, key: str, expected: str = "a file") -> None:
    """Raise ConfigError if the path is a link, a pipe, or of another kind than expected. A missing path is accepted.

    Args:
        path: of the file or folder to write.
        key: config key or argument that names it, for the message.
        expected: "a file", "a folder" or "a file or folder".
    """
    if not os.path.lexists(path):
        return
    kind = "a folder" if os.path.isdir(path) else irregular(path) or "a file"
    found = "a link" if os.path.islink(path) else kind
    if found.removeprefix("a ") not in expected:
        raise ConfigError(f"{key}: {os.fspath(path)}: expected {expected}, found {found}; nothing was written")


def check_replaceable(path: str | os.PathLike, mark: str | re.Pattern[bytes], kind: str) -> None:
    """Raise ConfigError unless the file can be written: it does not exist, or it contains ``mark``.

    Args:
        path: the file.
        mark: text, or a pattern of it, that only files of this kind contain.
        kind: description of this kind of file, for the message.
    """
    if not os.path.lexists(path):
        return
    found = "a link" if os.path.islink(path) else irregular(os.fspath(path))
    if found is None:
        with open(path, "rb") as file:
            own = re.search(re.escape(mark.encode()) if isinstance(mark, str) else mark, file.read())
            found = "" if own else "another file, which is not replaced"
    if found:
        raise ConfigError(f"{os.fspath(path)}: expected {kind} or no file, found {found}")


def check_claimable(folder: str | os.PathLike, mark: str, key: str = "--output") -> None:
    """Raise ConfigError if ``claim_folder`` would refuse the folder. Write nothing.

    Args:
        folder: folder to which the program writes, directly or in subfolders.
        mark: name of the file that marks its folders.
        key: argument that names the folder, for the message.
    """
    path = Path(folder, mark)
    check_no_link(folder, key, "a folder")
    check_no_link(path, key)
    check_writable(os.fspath(folder), key)
    found = [] if path.exists() or not os.path.isdir(folder) else sorted(os.listdir(folder))
    if found:
        raise ConfigError(
            f"{key}: {os.fspath(folder)}: expected an empty folder or one with {mark} of this program, found {found[0]}"
        )


def claim_folder(folder: str | os.PathLike, mark: str, key: str = "--output") -> None:
    """Claim a folder for a program: create the folder, and an empty file that marks it, unless they exist.

    Args: see ``check_claimable``.

    Raises:
        ConfigError: the folder has files but no mark, or the folder or its mark is a link. OutputError: the folder
            cannot be written.
    """
    check_claimable(folder, mark, key)
    make_folder(folder)
    if not Path(folder, mark).exists():
        write_text(Path(folder, mark), "")


def holds_other(path: Path, text: str) -> bool:
    """Return whether the file exists with a different text.

    Raises:
        ConfigError: the path is a folder, a link or another kind of file.
    """
    check_no_link(path, "--output")
    return path.exists() and path.read_bytes() != text.encode()
