"""Split an annotation file into parts, and parse the parts in worker processes.

The Python objects of millions of annotations need gigabytes of memory. To save memory, each process keeps only the
objects of one part at a time.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, UnsetType

from seesaw_d2.errors import SeesawError
from seesaw_d2.utils.regular_files import open_regular
from seesaw_d2.utils.repeated_keys import may_repeat_keys
from seesaw_d2.utils.worker_processes import count_workers, worker_map

# Number of annotations in a part. The Python objects of a part need about 10 MB of memory.
PART = 10_000
# Maximum number of workers. More workers are not faster, because a single process concatenates all results.
MAX_WORKERS = 8

T = TypeVar("T")


class UnusualFileError(Exception):
    """Raised if a file cannot be parsed in parts, because its content is not a JSON object or may repeat a key."""


class _File(msgspec.Struct, gc=False):
    """Annotation file. The list of images, the list of categories and each annotation are unparsed JSON."""

    images: msgspec.Raw | UnsetType = UNSET
    categories: msgspec.Raw | UnsetType = UNSET
    annotations: list[msgspec.Raw] | UnsetType = UNSET


def cut_file(path: str) -> tuple[dict[str, Any], list[msgspec.Raw] | None]:
    """Split an annotation file. Parse the lists of images and categories, but not the annotations.

    Returns:
        a dict with the parsed lists of images and categories, and a list with the unparsed JSON of each annotation. If
        the file contains no annotations, the second value is None.

    Raises:
        UnusualFileError: the file cannot be split.
    """
    try:
        with open_regular(path, "rb") as file:
            content = file.read()
        texts = msgspec.json.decode(content, type=_File)
        lists = {"images": texts.images, "categories": texts.categories}
        lists = {key: bytes(memoryview(text)) for key, text in lists.items() if text is not UNSET}
        data = {key: orjson.loads(text) for key, text in lists.items()}
        frame = _without_lists(content, texts)
        if may_repeat_keys(frame, orjson.loads(frame)) or any(may_repeat_keys(lists[key], data[key]) for key in lists):
            raise UnusualFileError
        return data, None if texts.annotations is UNSET else texts.annotations
    except (OSError, ValueError, RecursionError) as error:  # the errors of msgspec and orjson are ValueErrors
        raise UnusualFileError from error


def _without_lists(content: bytes, texts: _File) -> bytes:
    """Return the content of a file without its images, categories and annotations, to check the other keys."""
    start = _address(content)
    spans = [(text, text) for text in (texts.images, texts.categories) if text is not UNSET]
    spans += [(texts.annotations[0], texts.annotations[-1])] if texts.annotations else []
    pieces, end = [], 0
    for first, last in sorted(spans, key=lambda span: _address(span[0])):
        pieces.append(content[end : _address(first) - start])
        end = _address(last) - start + len(memoryview(last))
    return b"0".join([*pieces, content[end:]])


def _address(text: bytes | msgspec.Raw) -> int:
    """Return the address of the first byte. The texts that msgspec returns are views of the decoded content."""
    return np.frombuffer(text, np.uint8).__array_interface__["data"][0]


# Arguments of ``read_parts``. Forked workers inherit this list. Sending gigabytes to the workers would be slow.
_inherited: list[tuple[list[list[msgspec.Raw]], Callable[[bytes], Any]]] = []


def read_parts(
    texts: list[msgspec.Raw], read: Callable[[bytes], T], path: str
) -> Iterator[tuple[list[msgspec.Raw], T]]:
    """Split annotations into parts, and read each part. If there are several parts, worker processes read the parts.

    Args:
        texts: unparsed JSON of each annotation. An empty list gives one empty part.
        read: function that reads a part. The argument is an unparsed JSON list of at most ``PART`` annotations.
        path: path of the file, for messages.

    Yields:
        a pair (texts of the part, result of ``read``) for each part, in order.

    Raises:
        SeesawError: a worker process died.
    """
    parts = [texts[start : start + PART] for start in range(0, max(len(texts), 1), PART)]
    forks = sys.platform == "linux" and not multiprocessing.current_process().daemon
    workers = min(count_workers(None), MAX_WORKERS, len(parts)) if forks and len(parts) > 1 else 1
    _inherited.append((parts, read))
    try:
        with worker_map(workers) as mapped:
            yield from zip(parts, mapped(_read_part, range(len(parts))), strict=True)
    except BrokenProcessPool:
        raise SeesawError(
            f"{path}: a worker process was killed while it parsed this file. The machine may have run out of memory. "
            "Free memory and try again."
        ) from None
    finally:
        _inherited.pop()


def _read_part(number: int) -> Any:
    parts, read = _inherited[-1]
    text = b"[" + b",".join(parts[number]) + b"]"
    _check_keys(parts[number], text)
    return read(text)


def _check_keys(texts: list[msgspec.Raw], text: bytes) -> None:
    """Raise UnusualFileError if an annotation of a part may have a key twice.

    To save time, the annotations are parsed only if their mean number of keys differs from that of the first one. A
    repeated key is therefore not found if another annotation of the part lacks an optional key.
    """
    first = bytes(memoryview(texts[0])) if texts else b"{}"
    try:
        if not may_repeat_keys(first, orjson.loads(first)) and text.count(b'":') == len(texts) * first.count(b'":'):
            return
        if may_repeat_keys(text, orjson.loads(text)):
            raise UnusualFileError
    except orjson.JSONDecodeError as error:
        raise UnusualFileError from error
