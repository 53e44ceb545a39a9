"""Split an annotation file into parts, and parse the parts in worker processes.

Millions of annotations as Python objects need gigabytes of memory. Here each process holds the objects of one part.
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
# More workers are not faster, because one process concatenates their results.
MAX_WORKERS = 8

T = TypeVar("T")


class UnusualFileError(Exception):
    """The file cannot be split into parts, because it is not a JSON object with a list of annotations."""


class _File(msgspec.Struct, gc=False):
    """An annotation file, whose lists of images and categories and whose single annotations are unparsed JSON."""

    images: msgspec.Raw | UnsetType = UNSET
    categories: msgspec.Raw | UnsetType = UNSET
    annotations: list[msgspec.Raw] | UnsetType = UNSET


def cut_file(path: str) -> tuple[dict[str, Any], list[msgspec.Raw] | None]:
    """Split an annotation file.

    Returns:
        a dict with the parsed lists of images and categories, and the unparsed JSON of each annotation. If the file has
        no list of annotations, the second value is None.

    Raises:
        UnusualFileError: the file cannot be split.
    """
    try:
        with open_regular(path, "rb") as file:
            texts = msgspec.json.decode(file.read(), type=_File)
        lists = {"images": texts.images, "categories": texts.categories}
        data = {key: orjson.loads(memoryview(text)) for key, text in lists.items() if text is not UNSET}
        return data, None if texts.annotations is UNSET else texts.annotations
    except (OSError, ValueError, RecursionError) as error:  # msgspec and orjson raise ValueErrors
        raise UnusualFileError from error


# Arguments of ``read_parts``. Forked workers inherit them, because sending gigabytes to the workers is slow.
_inherited: list[tuple[list[msgspec.Raw], Callable[[bytes], Any]]] = []


def read_parts(texts: list[msgspec.Raw], read: Callable[[bytes], T], path: str) -> Iterator[T]:
    """Yield ``read(part)`` for each part in order. Worker processes compute the results of several parts.

    Args:
        texts: unparsed JSON of each annotation. An empty list gives one empty part.
        read: function of a part, which is an unparsed JSON list of at most ``PART`` annotations.
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
            f"{path}: a worker process was killed while it parsed this file. The machine may have run out of memory"
        ) from None
    finally:
        _inherited.pop()


def _read_part(start: int) -> Any:
    texts, read = _inherited[-1]
    return read(b"[" + b",".join(texts[start : start + PART]) + b"]")
