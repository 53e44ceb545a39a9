"""List the files in a folder and its subfolders, and find existing files with names similar to a missing file."""

import contextlib
import functools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from seesaw_d2.utils.messages import first_few

# Matches a file name extension: a dot, and 1 to 5 letters and digits with at least one letter. "1.25" has no extension.
_EXTENSION = re.compile(r"\.(?=[0-9]*[A-Za-z])[0-9A-Za-z]{1,5}$")


# ``is_hidden`` treats folders and files with these names as hidden, in upper or lower case. Operating systems and file
# servers create them. For example, the folder __MACOSX in zip archives contains the metadata of each file, and the
# folder @eaDir contains a thumbnail of each image.
_SYSTEM_FOLDERS = (
    "__macosx",
    "@eadir",
    "#recycle",
    "@recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
)
_SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini")


class FilesBelow(NamedTuple):
    """Files in a folder and its subfolders. Paths are sorted, relative to the folder, and separated by "/".

    Attributes:
        files: regular files.
        hidden: files and folders whose name starts with "." or that operating systems create. The content of hidden
            folders is not listed.
        other: broken links, pipes and devices, and folders whose content is not listed. Paths of folders end with "/".
    """

    files: list[str]
    hidden: list[str]
    other: list[str]


def is_hidden(name: str) -> bool:
    """Return True if a name starts with ".", or if operating systems create files or folders with this name.

    Examples of such names are "Thumbs.db" and "__MACOSX".
    """
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS + _SYSTEM_FILES


def files_below(folder: str | os.PathLike, *, recursive: bool = True) -> FilesBelow:
    """List the files in a folder and its subfolders.

    Links to folders are followed. If several links lead to the same folder, its files are listed only once.

    Args:
        folder: the folder.
        recursive: if True, list the content of subfolders. If False, list only the names of subfolders.

    Raises:
        OSError: ``folder`` cannot be read. Unreadable subfolders are listed in ``other`` without an error.
    """
    found = FilesBelow([], [], [])
    seen: set[str] = set()
    pending = [""]
    while pending:
        inside = pending.pop()
        real = os.path.realpath(os.path.join(folder, inside))
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = _read_folder(real)
        except OSError:
            if not inside:
                raise
            found.other.append(inside)
            continue
        folders = [path for entry in entries for path in _sort_entry(entry, inside, found)]
        if recursive:
            pending += sorted(folders, reverse=True)
        else:
            found.other.extend(folders)
    return FilesBelow(*map(sorted, found))


def _sort_entry(entry: os.DirEntry, inside: str, found: FilesBelow) -> list[str]:
    """Add a file to the list in ``found`` to which it belongs. For a subfolder, return a list with its path instead.

    For files and hidden folders, the returned list is empty.

    Args:
        entry: file or subfolder.
        inside: path of the folder that contains ``entry``, with "/" at the end.
        found: incomplete return value of ``files_below``, which is modified in place.
    """
    path = f"{inside}{entry.name}"
    if is_hidden(entry.name):
        found.hidden.append(path)
    elif _is(entry.is_dir):
        return [f"{path}/"]
    elif _is(entry.is_file):
        found.files.append(path)
    else:
        found.other.append(path)
    return []


def folded(name: str) -> str:
    """Normalize a file name for comparisons: remove the extension, and convert to lower case and Unicode form NFC."""
    return _fold(_EXTENSION.sub("", name))


def near_files(paths: Iterable[str]) -> dict[str, list[str]]:
    """Find existing files whose paths differ from missing files only in case, Unicode form or extension.

    Args:
        paths: paths of missing files.

    Returns:
        a dict from each missing file to a list of similar existing files. Missing files without similar files are
        omitted.
    """
    listing = functools.cache(_folded_entries)

    @functools.cache
    def folders_like(folder: str) -> list[str]:
        if not folder or os.path.isdir(folder) or os.path.dirname(folder) == folder:
            return [folder]
        parent, name = os.path.split(folder)
        return [path for each in folders_like(parent) for path in listing(each).get(_fold(name) + "/", ())]

    found = {}
    for path in paths:
        folder, name = os.path.split(path)
        near = [each for like in folders_like(folder) for each in listing(like).get(folded(name), ())]
        if near:
            found[path] = sorted(near)
    return found


def describe_near(near: Mapping[str, Sequence[str]]) -> str:
    """Return a sentence about similar files for a message about missing files, or "" if there are no similar files.

    Args:
        near: dict from each missing file to a list of similar existing files, as returned by ``near_files``.
    """
    if not near:
        return ""
    listed = first_few(
        f"{name} ({first_few(f'{path}: different {_difference(name, path)}' for path in paths)})"
        for name, paths in near.items()
    )
    return f". Paths that differ from an existing file only in case, Unicode form or extension: {listed}"


def _difference(name: str, path: str) -> str:
    """Describe how the path of a missing file differs from the path of a similar file.

    Examples are "case" and "extension and Unicode form".

    Args:
        name: path of the missing file.
        path: path of the similar file.
    """
    left, right = os.path.basename(name), os.path.basename(path)
    # If the whole paths differ only in case, Unicode form or extension, compare the whole paths, because the difference
    # can also be in a folder name.
    if folded(name) == folded(path):
        left, right = name, path
    kinds = []
    if _extension(left).lower() != _extension(right).lower():
        left, right = _EXTENSION.sub("", left), _EXTENSION.sub("", right)
        kinds.append("extension")
    if unicodedata.normalize("NFC", left) != unicodedata.normalize("NFC", right):
        kinds.append("case")
    if left.casefold() != right.casefold():
        kinds.append("Unicode form")
    return " and ".join(kinds)


def _extension(name: str) -> str:
    match = _EXTENSION.search(name)
    return match.group() if match else ""


def _fold(name: str) -> str:
    """Convert a name to lower case and Unicode form NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _folded_entries(folder: str) -> dict[str, list[str]]:
    """List a folder by normalized names, to find files and folders with similar names.

    Returns:
        a dict from each normalized name to the paths of the files and folders with this normalized name. File names are
        normalized by ``folded``, without extension. Normalized names of folders keep the extension and end with "/".
    """
    found, entries = defaultdict(list), []
    with contextlib.suppress(OSError):
        entries = _read_folder(folder or ".")
    for entry in entries:
        key = f"{_fold(entry.name)}/" if _is(entry.is_dir) else folded(entry.name)
        found[key].append(os.path.join(folder, entry.name))
    return dict(found)


def _read_folder(folder: str) -> list[os.DirEntry]:
    with os.scandir(folder) as found:
        return list(found)


def _is(test) -> bool:
    """Call ``test``, such as the method ``is_file`` of an ``os.DirEntry``. Return False if it raises OSError."""
    try:
        return test()
    except OSError:  # for example, a link to itself causes this error
        return False
