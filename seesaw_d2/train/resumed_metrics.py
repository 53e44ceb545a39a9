"""Restore metrics.json and the logged scalars in a resumed run, as if the run had not been interrupted."""

import contextlib
import json
import logging
import os
from typing import Any

from detectron2.utils.events import EventStorage, JSONWriter

from seesaw_d2.utils.regular_files import open_regular

logger = logging.getLogger(__name__)

# Number of values in the medians of Detectron2's writers.
_WINDOW = 20


def file_size(writer: JSONWriter) -> int | None:
    """Return the current size of the file in bytes, or None if it is not a local file."""
    path = writer._file_handle.name
    return os.path.getsize(path) if os.path.isfile(path) else None


def cut_back(writer: JSONWriter, size: int, start: int) -> None:
    """Truncate the file to ``size`` bytes, and let the writer continue from there.

    A file that is shorter than ``size``, or has no newline at this position, belongs to another run and is not changed.
    The training continues with iteration ``start``. Removed lines that belong to iterations before it are written again
    by the writer.
    """
    path = writer._file_handle.name
    with open_regular(path, "rb+") as file:
        lines = file.read(size)
        if len(lines) < size or not (lines == b"" or lines.endswith(b"\n")):
            logger.warning(
                f"{path}: expected the metrics of this run up to its checkpoint, found others; new lines are appended"
            )
            return
        removed = file.read()
        file.truncate(size)
    again = sum(iteration >= start for iteration in _iterations(removed))
    if again:
        logger.info(f"{path}: removed the lines ({again}) of iterations from {start} on, which are run again")
    # Detectron2 does not write iterations up to this one again.
    writer._last_write = max(_iterations(lines), default=-1)


def _iterations(lines: bytes) -> list[int]:
    """Return the iteration of each complete line. The last line may be incomplete if the run was killed."""
    found = []
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
            found.append(int(json.loads(line)["iteration"]))
    return found


def recent_scalars(storage: EventStorage) -> dict[str, Any]:
    """Return the values needed for medians: name -> {smoothed, values [value, iteration]}."""
    hints = storage.smoothing_hints()
    return {
        name: {
            "smoothed": bool(hints[name]),
            "values": [[float(value), int(iteration)] for value, iteration in buffer.values()[-_WINDOW:]],
        }
        for name, buffer in storage.histories().items()
    }


def put_back(storage: EventStorage, scalars: dict[str, Any]) -> None:
    """Put the result of ``recent_scalars`` into this storage, without changing the storage's iteration."""
    iteration = storage.iter
    for name, scalar in scalars.items():
        for value, storage.iter in scalar["values"]:
            storage.put_scalar(name, value, smoothing_hint=scalar["smoothed"])
    storage.iter = iteration
