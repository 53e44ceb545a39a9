"""Write the folder of a data set atomically, with a record of its settings."""

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
    """Return the record of the settings in a folder, or None if the folder does not exist or is empty.

    Args:
        root: the folder.
        name: name of the file with the record.
        kind: description of the folder, for messages.

    Raises:
        DataError: the folder has other content.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    try:
        record = json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = None
    if not isinstance(record, dict) or not record.keys() >= {"settings", "contents"}:
        raise DataError(
            f"root {root}: expected no folder, an empty one or {kind} (with a readable {name}), found other content, "
            "which is not overwritten"
        )
    return record


@contextmanager
def whole_folder(root: Path, name: str = RECORD, kind: str = "a glyph data set") -> Iterator[Path]:
    """Yield a temporary folder that replaces ``root`` at the end, or is removed after an exception.

    A killed process leaves the temporary folder, which is hidden and never used as a data set. ``root`` is replaced
    only if it does not exist, is empty, or has a record that ``read_record`` reads with the same arguments.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    try:
        fresh = work / "new"
        fresh.mkdir()
        yield fresh
        read_record(root, name, kind)  # check again, because another process may have written to it
        if root.exists():
            root.rename(work / "old")
        os.replace(fresh, root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
