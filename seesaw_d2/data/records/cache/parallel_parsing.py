"""Cut an annotation file into parts and parse them in worker processes.

Millions of annotations as Python objects need gigabytes. Here each process has the objects of one part at a time.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import msgspec
import orjson
from msgspec import UNSET, UnsetType

from seesaw_d2.errors import SeesawError
from seesaw_d2.utils.regular_files import open_regular
from seesaw_d2.utils.worker_processes import count_workers, worker_map

# Number of annotations in a part, about 10 MB of objects.
PART = 10_000
# More processes are not faster, because one process concatenates their results.
MAX_WORKERS = 8

T = TypeVar("T")


class UnusualFileError(Exception):
    """The file is not a JSON object whose annotations are a list, or cannot be cut into parts."""


class _File(msgspec.Struct, gc=False):
    """Raw JSON text of the lists of an annotation file, and of each annotation."""

    images: msgspec.Raw | UnsetType = UNSET
    categories: msgspec.Raw | UnsetType = UNSET
    annotations: list[msgspec.Raw] | UnsetType = UNSET


def cut_file(path: str) -> tuple[dict[str, Any], list[msgspec.Raw] | None]:
    """Return the parsed images and categories of a file, and the text of each annotation (None without the list).

    Raises:
        UnusualFileError: the file cannot be read in this way.
    """
    try:
        with open_regular(path, "rb") as file:
            texts = msgspec.json.decode(file.read(), type=_File)
        lists = {"images": texts.images, "categories": texts.categories}
        data = {key: orjson.loads(memoryview(text)) for key, text in lists.items() if text is not UNSET}
        return data, None if texts.annotations is UNSET else texts.annotations
    except (OSError, ValueError, RecursionError) as error:  # the errors of both libraries are ValueErrors
        raise UnusualFileError from error


# Texts and function of ``read_parts``. Forked workers inherit them, because sending gigabytes is slow.
_inherited: list[tuple[list[msgspec.Raw], Callable[[bytes], Any]]] = []


def read_parts(texts: list[msgspec.Raw], read: Callable[[bytes], T], path: str) -> Iterator[T]:
    """Yield ``read(part)`` for each part in order. If there are several parts, worker processes compute it.

    Args:
        texts: JSON texts of the annotations. If there are none, there is one empty part.
        read: function of a JSON list of at most ``PART`` annotations.
        path: path of the file, for messages.

    Raises:
        SeesawError: a worker process died.
    """
    starts = range(0, max(len(texts), 1), PART)
    forks = sys.platform == "linux" and not multiprocessing.current_process().daemon
    workers = min(count_workers(None), MAX_WORKERS, len(starts)) if forks and len(starts) > 1 else 1
    _inherited.append((texts, read))
    try:
        with worker_map(workers) as mapped:
            yield from mapped(_read_part, starts)
    except BrokenProcessPool:
        raise SeesawError(
            f"{path}: a process that read a part of this file was killed; check that there is enough memory"
        ) from None
    finally:
        _inherited.pop()


def _read_part(start: int) -> Any:
    texts, read = _inherited[-1]
    return read(b"[" + b",".join(texts[start : start + PART]) + b"]")
