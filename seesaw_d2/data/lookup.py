"""Files below a folder, and existing files that a missing name may mean."""

import functools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from seesaw_d2.data.records.json_files import first_few

_EXTENSION = re.compile(r"\.(?=[0-9]*[A-Za-z])[0-9A-Za-z]{1,5}$")


class FilesBelow(NamedTuple):
    """Files and hidden entries below a folder, as sorted paths relative to the folder, with "/" between the parts."""

    files: list[str]
    # files and folders whose name begins with a dot; a hidden folder is one entry, and its content is not listed
    hidden: list[str]


def files_below(folder: str | os.PathLike) -> FilesBelow:
    """Return the regular files in a folder and its subfolders, hidden ones apart.

    Links to folders are followed. A folder that several paths lead to is read once, under the first path.

    Raises:
        OSError: ``folder`` cannot be read.
    """
    files: list[str] = []
    hidden: list[str] = []
    seen: set[str] = set()
    pending = [""]
    while pending:
        inside = pending.pop()
        real = os.path.realpath(os.path.join(folder, inside))
        if real in seen:
            continue
        seen.add(real)
        folders = []
        for entry in _entries(real, required=not inside):
            path = f"{inside}{entry.name}"
            if entry.name.startswith("."):
                hidden.append(path)
            elif _is(entry.is_dir):
                folders.append(f"{path}/")
            elif _is(entry.is_file):
                files.append(path)
        pending += sorted(folders, reverse=True)
    return FilesBelow(sorted(files), sorted(hidden))


def folded(name: str) -> str:
    """Return a file's name without extension, in one case and Unicode form: equal for names that differ in these."""
    return _fold(_EXTENSION.sub("", name))


def near_files(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return, for each missing file that has any, the existing files whose path is the same but for case or Unicode
    form of a part, or for the extension."""
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
    """Return what a message about missing files adds about files of nearly their names; "" if there are none.

    Args:
        near: missing name -> existing files, as of ``near_files``.
    """
    if not near:
        return ""
    listed = first_few(
        f"{name} ({first_few(f'{path}: other {_difference(name, path)}' for path in paths)})"
        for name, paths in near.items()
    )
    return f"; {len(near)} differ from an existing file only in case, Unicode form or extension: {listed}"


def _difference(name: str, path: str) -> str:
    """What two names, equal when folded, differ in: "case", "extension and Unicode form", ..."""
    parts = min(name.count("/"), path.count("/")) + 1
    left, right = ("/".join(each.split("/")[-parts:]) for each in (name, path))
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
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _folded_entries(folder: str) -> dict[str, list[str]]:
    """Folded name -> paths of the entries of a folder; names of folders end with "/"."""
    found = defaultdict(list)
    for entry in _entries(folder or ".", required=False):
        key = f"{_fold(entry.name)}/" if _is(entry.is_dir) else folded(entry.name)
        found[key].append(os.path.join(folder, entry.name))
    return dict(found)


def _entries(folder: str, *, required: bool) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        if required:
            raise
        return []


def _is(test) -> bool:
    try:
        return test()
    except OSError:  # a link that leads to itself
        return False
