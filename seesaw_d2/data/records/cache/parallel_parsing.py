"""Split the annotations of a large file into parts, and parse the parts in worker processes.

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

# A worker process parses this number of annotations at a time. Their Python objects need about 10 MB of memory.
PART = 10_000
# Maximum number of worker processes. More processes would not save time, because a single process concatenates all
# results.
MAX_WORKERS = 8

T = TypeVar("T")


class UnusualFileError(Exception):
    """Raised if a file cannot be parsed in parts.

    This is the case if the content is not a JSON object of the expected structure or may repeat a key. The caller then
    parses the whole file at once.
    """


class _File(msgspec.Struct, gc=False):
    """Annotation file. The images, the categories and each annotation are unparsed JSON."""

    images: msgspec.Raw | UnsetType = UNSET
    categories: msgspec.Raw | UnsetType = UNSET
    annotations: list[msgspec.Raw] | UnsetType = UNSET


def cut_file(path: str) -> tuple[dict[str, Any], list[msgspec.Raw] | None]:
    """Parse the images and categories of an annotation file, and split the annotations without parsing them.

    Returns:
        a dict with the keys "images" and "categories", and a list with the unparsed JSON of each annotation. If the
        file contains no annotations, the second value is None.

    Raises:
        UnusualFileError: the file cannot be read or split, or may repeat a key.
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
    except (OSError, ValueError, RecursionError) as error:
        # For invalid JSON, msgspec and orjson raise subclasses of ValueError.
        raise UnusualFileError from error


def _without_lists(content: bytes, texts: _File) -> bytes:
    """Return the JSON of an annotation file, with 0 in place of the images, categories and annotations.

    The short result allows a fast check of the file's other keys.

    Args:
        content: content of the file.
        texts: the parts of the content to replace.
    """
    start = _address(content)
    spans = [(text, text) for text in (texts.images, texts.categories) if text is not UNSET]
    spans += [(texts.annotations[0], texts.annotations[-1])] if texts.annotations else []
    pieces, end = [], 0
    for first, last in sorted(spans, key=lambda span: _address(span[0])):
        pieces.append(content[end : _address(first) - start])
        end = _address(last) - start + len(memoryview(last))
    return b"0".join([*pieces, content[end:]])


def _address(text: bytes | msgspec.Raw) -> int:
    """Return the memory address of the first byte.

    For a ``msgspec.Raw``, which is a view of the decoded content, the difference to the content's address is the
    position in the content.
    """
    return np.frombuffer(text, np.uint8).__array_interface__["data"][0]


# Arguments of each running call of ``read_parts``: the parts of the annotations, and the function ``read``. Forked
# worker processes inherit this list. Sending gigabytes of annotations to the workers would be slow.
_inherited: list[tuple[list[list[msgspec.Raw]], Callable[[bytes], Any]]] = []


def read_parts(
    texts: list[msgspec.Raw], read: Callable[[bytes], T], path: str
) -> Iterator[tuple[list[msgspec.Raw], T]]:
    """Split annotations into parts of at most ``PART`` (10,000) annotations, and read each part with ``read``.

    If there are several parts, worker processes read the parts.

    Args:
        texts: unparsed JSON of each annotation. An empty list gives one empty part.
        read: function that receives the unparsed JSON list of a part's annotations.
        path: path of the file, for messages.

    Yields:
        a pair (unparsed JSON of each annotation in the part, return value of ``read``) for each part, in order.

    Raises:
        UnusualFileError: an annotation is not JSON, or may have a key twice.
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
    """Check and read one part. Worker processes call this function with the index of the part in ``_inherited``."""
    parts, read = _inherited[-1]
    text = b"[" + b",".join(parts[number]) + b"]"
    _check_keys(parts[number], text)
    return read(text)


def _check_keys(texts: list[msgspec.Raw], text: bytes) -> None:
    """Raise UnusualFileError if an annotation may have a key twice.

    To save time, the annotations are parsed only if their mean number of keys differs from that of the first
    annotation. A repeated key is therefore not found if another annotation of the part lacks an optional key.

    Args:
        texts: unparsed JSON of each annotation in a part.
        text: unparsed JSON list of the same annotations.
    """
    first = bytes(memoryview(texts[0])) if texts else b"{}"
    try:
        if not may_repeat_keys(first, orjson.loads(first)) and text.count(b'":') == len(texts) * first.count(b'":'):
            return
        if may_repeat_keys(text, orjson.loads(text)):
            raise UnusualFileError
    except orjson.JSONDecodeError as error:
        raise UnusualFileError from error
