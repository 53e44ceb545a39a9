"""metrics.json and the scalars behind it, so that a resumed run's are those of one that was never interrupted."""

import contextlib
import json
import logging
import os
from typing import Any

from detectron2.utils.events import EventStorage, JSONWriter

logger = logging.getLogger(__name__)

# Detectron2's writers write medians of so many values.
_WINDOW = 20


def file_size(writer: JSONWriter) -> int | None:
    """Bytes of the file so far; None if it is no local one."""
    path = writer._file_handle.name
    return os.path.getsize(path) if os.path.isfile(path) else None


def cut_back(writer: JSONWriter, size: int, start: int) -> None:
    """Remove what was written after the file had ``size`` bytes, and have the writer go on from there.

    A file that was not as long, or whose lines end elsewhere, is not this run's: it stays as it is. Lines of earlier
    iterations than ``start``, the one that the run goes on with, are not lost: a run that ends early writes what it has
    logged since its writers' last turn, which then comes with their next one.
    """
    path = writer._file_handle.name
    with open(path, "rb+") as file:
        lines = file.read(size)
        if len(lines) < size or not (lines == b"" or lines.endswith(b"\n")):
            logger.warning(f"{path}: not the file that the run wrote until its checkpoint; new lines are added to it")
            return
        removed = file.read()
        file.truncate(size)
    again = sum(iteration >= start for iteration in _iterations(removed))
    if again:
        logger.info(f"{path}: removed the lines ({again}) of iterations from {start} on, which are run again")
    # What stands in the file is not written again; Detectron2 knows it by its iteration.
    writer._last_write = max(_iterations(lines), default=-1)


def _iterations(lines: bytes) -> list[int]:
    """Of each whole line; a kill tears one."""
    found = []
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found.append(int(json.loads(line)["iteration"]))
    return found


def recent_scalars(storage: EventStorage) -> dict[str, Any]:
    """The last values of each scalar, as many as the medians are of: name -> {smoothed, values [value, iteration]}."""
    hints = storage.smoothing_hints()
    return {
        name: {
            "smoothed": bool(hints[name]),
            "values": [[float(value), int(iteration)] for value, iteration in buffer.values()[-_WINDOW:]],
        }
        for name, buffer in storage.histories().items()
    }


def put_back(storage: EventStorage, scalars: dict[str, Any]) -> None:
    """Put ``recent_scalars`` of another storage into this one, whose iteration stays as it is."""
    iteration = storage.iter
    for name, scalar in scalars.items():
        for value, storage.iter in scalar["values"]:
            storage.put_scalar(name, value, smoothing_hint=scalar["smoothed"])
    storage.iter = iteration
