"""Result files, written so that nobody ever finds half of one."""

import json
import os
import tempfile
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
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=os.path.basename(path) + ".", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # dumps is written in C, dump is not.
            file.write(json.dumps(value))
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are for their owner only
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
