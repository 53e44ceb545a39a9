"""Restore metrics.json and the logged scalars in a resumed run, as if the run had not been interrupted."""

import contextlib
import json
import logging
import os
from typing import Any

from detectron2.utils.events import EventStorage, JSONWriter

from seesaw_d2.utils.regular_files import open_regular

logger = logging.getLogger(__name__)

# Detectron2's writers log the median of the last 20 values of a scalar. Checkpoints contain these values, so that a
# resumed run logs the same medians.
_WINDOW = 20


def file_size(writer: JSONWriter) -> int | None:
    """Return the current size in bytes of the file that ``writer`` writes, or None if the file is not local."""
    path = writer._file_handle.name
    return os.path.getsize(path) if os.path.isfile(path) else None


def cut_back(writer: JSONWriter, size: int, start: int) -> None:
    """Remove the lines that metrics.json got after the checkpoint: truncate the file to ``size`` bytes.

    If the file is shorter than ``size``, or its first ``size`` bytes end inside a line, the checkpoint belongs to
    another file. In this case, leave the file unchanged, and log a warning.

    Args:
        writer: writer of metrics.json, which appends new lines after the truncation.
        size: size of the file in bytes when the checkpoint was written.
        start: iteration at which the training continues, for the log message.
    """
    path = writer._file_handle.name
    with open_regular(path, "rb+") as file:
        lines = file.read(size)
        if len(lines) < size or not (lines == b"" or lines.endswith(b"\n")):
            found = f"only {len(lines)} bytes" if len(lines) < size else "an incomplete line at this position"
            logger.warning(
                f"{path}: expected complete lines in the first {size} bytes, as when the checkpoint was saved, found "
                f"{found}. No lines are removed. Therefore the file can contain iterations twice"
            )
            return
        removed = file.read()
        file.truncate(size)
    again = sum(iteration >= start for iteration in _iterations(removed))
    if again:
        logger.info(f"{path}: removed {again} lines of iterations from {start} on, because these iterations run again")
    # Detectron2's writer skips all iterations up to _last_write. Set it to the last iteration that the file contains.
    writer._last_write = max(_iterations(lines), default=-1)


def _iterations(lines: bytes) -> list[int]:
    """Return the number "iteration" of each line of metrics.json. Skip invalid lines, which a killed run may leave."""
    found = []
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
            found.append(int(json.loads(line)["iteration"]))
    return found


def recent_scalars(storage: EventStorage) -> dict[str, Any]:
    """Return the last 20 values of each logged scalar. The writers compute medians from these values.

    Returns:
        a dict from the name of a scalar to {"smoothed": bool, "values": list of [value, iteration]}. "smoothed" is
        whether the writers log the median instead of the last value.
    """
    hints = storage.smoothing_hints()
    return {
        name: {
            "smoothed": bool(hints[name]),
            "values": [[float(value), int(iteration)] for value, iteration in buffer.values()[-_WINDOW:]],
        }
        for name, buffer in storage.histories().items()
    }


def put_back(storage: EventStorage, scalars: dict[str, Any]) -> None:
    """Put the values that ``recent_scalars`` returned into ``storage``, each with the iteration that logged it."""
    iteration = storage.iter
    for name, scalar in scalars.items():
        for value, storage.iter in scalar["values"]:
            storage.put_scalar(name, value, smoothing_hint=scalar["smoothed"])
    storage.iter = iteration
