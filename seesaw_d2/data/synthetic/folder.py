"""The folder of a data set: it appears whole or not at all, and remembers how it was made."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seesaw_d2.errors import DataError

RECORD = "glyphs.json"


def read_record(root: Path, name: str = RECORD, kind: str = "a glyph data set") -> dict | None:
    """What the folder says about how it was made; None where there is no folder, or an empty one.

    Args:
        root: the folder.
        name: the file in it that says so.
        kind: what the folder should be, for messages.

    Raises:
        DataError: the folder holds something else.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        record = json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not record.keys() >= {"settings", "contents"}:
        raise DataError(
            f"root {root}: expected no folder, an empty one or {kind} (with a readable {name}), "
            "found something else, which will not be overwritten"
        )
    return record


@contextmanager
def whole_folder(root: Path, name: str = RECORD, kind: str = "a glyph data set") -> Iterator[Path]:
    """Gives a temporary folder beside ``root`` that takes its place at the end; gone if anything is raised.

    A process that is killed outright leaves the temporary folder, hidden and never taken for a data set.
    Only an absent or empty folder, or one that ``read_record`` reads with the same arguments, is replaced.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        read_record(root, name, kind)  # again: another process may have been here in the meantime
        if root.exists():
            root.rename(work / "old")
        os.replace(fresh, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
