"""Write the folder of a generated dataset atomically. Replace a folder only if this project generated it."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesaw_d2.errors import DataError
from seesaw_d2.utils.json_reading import load_json_object


@dataclass(frozen=True)
class FolderLayout:
    """Description of the files in the folder of a generated dataset.

    A program replaces a folder only if all its files match this description, so that it never deletes users' files.

    Attributes:
        record: name of the record file, a JSON file with the keys "settings" and "contents" at the top level.
        kind: name of the dataset, for messages.
        contents: example of the value of "contents" in the record file. The value must have the same keys and types as
            the example. The key "" in the example stands for any keys.
        files: pattern that matches the relative path of every file in the folder.
    """

    record: str
    kind: str
    contents: Mapping[str, Any]
    files: re.Pattern[str]


def read_record(root: Path, layout: FolderLayout) -> dict | None:
    """Return the content of the record file in a folder, or None if the folder does not exist or is empty.

    Args:
        root: the folder of a generated dataset.
        layout: name and required content of the record file.

    Raises:
        DataError: the folder is not empty, but has no valid record file, or ``root`` is not a folder.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        record = load_json_object(str(root / layout.record))
    except DataError:
        record = {}
    if not isinstance(record.get("settings"), dict) or not _fits(record.get("contents"), layout.contents):
        raise DataError(
            f"root {root}: expected a new folder, an empty folder, or {layout.kind} with a valid {layout.record}, "
            "found none of these. Nothing was overwritten. Choose another folder."
        )
    return record


def _fits(value: Any, example: Any) -> bool:
    """Return whether a value from a JSON file has the same keys and types as an example, also in nested values.

    The key "" in the example stands for any keys. A list in the example has one element, which all elements must match.
    """
    if isinstance(example, Mapping):
        if not isinstance(value, dict) or (value.keys() != example.keys() and "" not in example):
            return False
        return all(_fits(each, example.get(key, example.get(""))) for key, each in value.items())
    if isinstance(example, list):
        return isinstance(value, list) and all(_fits(each, example[0]) for each in value)
    return isinstance(value, str) if isinstance(example, str) else type(value) in (int, float)


def _check_replaceable(root: Path, layout: FolderLayout) -> None:
    """Raise DataError if replacing the folder would delete a file that does not match ``layout``, such as a user's."""
    read_record(root, layout)
    for folder, inner, files in os.walk(root):
        links = [name for name in inner if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            if name in links or not layout.files.fullmatch(path):
                raise DataError(f"root {root}: expected only files of {layout.kind}, found {path}. Move it elsewhere.")


@contextmanager
def atomic_folder(root: Path, layout: FolderLayout) -> Iterator[Path]:
    """Yield a temporary folder for the files of a dataset, and rename it to ``root`` after the ``with`` block.

    If the block raises an exception, the temporary folder is removed, and ``root`` stays unchanged. If the process is
    killed, the temporary folder can remain next to ``root``. Its name starts with a dot.

    Args:
        root: the folder to create or replace.
        layout: description of the files that an existing folder may contain.

    Raises:
        DataError: ``root`` is neither missing, nor an empty folder, nor a folder with this layout.
    """
    _check_replaceable(root, layout)
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        _check_replaceable(root, layout)  # check again, because the folder may have changed meanwhile
        if root.exists():
            root.rename(work / "old")
        os.replace(fresh, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
