"""Write the folder of a data set atomically, with a record of its settings."""

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
class Layout:
    """Files of a kind of data set.

    Attributes:
        record: name of the file with the settings.
        kind: description of the folder, for messages.
        contents: example of the record's entry "contents", with its keys and types. The key "" stands for any key.
        files: pattern of the relative paths of all files.
    """

    record: str
    kind: str
    contents: Mapping[str, Any]
    files: re.Pattern[str]


GLYPHS = Layout(
    record="glyphs.json",
    kind="a glyph data set",
    contents={"frequencies": {"r": 0, "c": 0, "f": 0}, "images": {"": 0}, "instances": {"": 0}, "megabytes": 0},
    files=re.compile(r"glyphs\.json|annotations/glyphs_\w+\.json|(images|semantic)/(train|val)/\d{12,}\.(jpg|png)"),
)


def read_record(root: Path, layout: Layout) -> dict | None:
    """Return the record of the settings in a folder, or None if the folder does not exist or is empty.

    Raises:
        DataError: the folder has other content.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        record = load_json_object(str(root / layout.record))
    except DataError:
        record = {}
    if not isinstance(record.get("settings"), dict) or not _fits(record.get("contents"), layout.contents):
        raise DataError(
            f"root {root}: expected no folder, an empty one or {layout.kind} (with a readable {layout.record}), found "
            "other content; nothing was overwritten"
        )
    return record


def _fits(value: Any, example: Any) -> bool:
    """Return whether a value has the keys and types of an example."""
    if isinstance(example, Mapping):
        if not isinstance(value, dict) or (value.keys() != example.keys() and "" not in example):
            return False
        return all(_fits(each, example.get(key, example.get(""))) for key, each in value.items())
    if isinstance(example, list):
        return isinstance(value, list) and all(_fits(each, example[0]) for each in value)
    return isinstance(value, str) if isinstance(example, str) else type(value) in (int, float)


def check_own_files(root: Path, layout: Layout) -> None:
    """Raise DataError if the folder has a file that is not of this kind of data set, which would be lost."""
    for folder, inner, files in os.walk(root):
        links = [name for name in inner if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            path = os.path.relpath(os.path.join(folder, name), root).replace(os.sep, "/")
            if name in links or not layout.files.fullmatch(path):
                raise DataError(f"root {root}: expected only files of {layout.kind}, found {path}; move it elsewhere")


@contextmanager
def whole_folder(root: Path, layout: Layout) -> Iterator[Path]:
    """Yield a temporary folder that replaces ``root`` at the end, or is removed after an exception.

    A killed process leaves the temporary folder, which is hidden and never used as a data set.

    Raises:
        DataError: ``root`` contains anything but a data set of this kind, before or after the block.
    """
    read_record(root, layout)
    check_own_files(root, layout)
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        read_record(root, layout)  # check again, because another process may have written to it
        check_own_files(root, layout)
        if root.exists():
            root.rename(work / "old")
        os.replace(fresh, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
