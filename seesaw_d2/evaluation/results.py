"""Result files, written so that nobody ever finds half of one."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Sequence
from typing import Any


def submission(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What LVIS's evaluation server takes: image_id, category_id, score and segmentation (run-length, compressed).

    Where a result has a box too, lvis-api takes the size of the object from the box, and APs, APm and APl with it:
    boxes are left out, unless there are no masks.
    """
    shape = "segmentation" if all("segmentation" in result for result in results) else "bbox"
    fields = ("image_id", "category_id", shape, "score")
    return [{field: result[field] for field in fields} for result in results]


def write_json(path: str, value: Any) -> None:
    """Write a JSON file atomically: under another name in the same folder, then renamed.

    The folder is made if it is not there.
    """
    write_text(path, json.dumps(value))  # dumps is written in C, dump is not


def write_csv(path: str, rows: list[dict[str, Any]], header: Sequence[str] | None = None) -> None:
    """Write a CSV file as ``write_json`` writes its.

    Args:
        header: the columns; by default the keys of the first row.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: str, text: str) -> None:
    """Write a text file as ``write_json`` writes its."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=os.path.basename(path) + ".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are for their owner only
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
