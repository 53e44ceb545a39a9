"""Decoding every image of a data set, in several processes: what headers cannot tell."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from detectron2.utils.file_io import PathManager
from PIL import Image

from seesaw_d2.data.image_headers import DEEP_MODES, read_header

# Images that a process is given at a time.
_CHUNK = 32


@dataclass(frozen=True)
class Examined:
    """An image file and what is wrong with it: ``kind`` is "unreadable", "size", "deep" (more than 8 bits) or ""."""

    path: str
    kind: str = ""
    problem: str = ""


def examine_images(records: list[dict[str, Any]], workers: int) -> Iterator[Examined]:
    """Decode the image files of dataset dicts, in no promised order.

    Args:
        workers: >= 1, processes.
    """
    tasks = [(r["file_name"], (r.get("width"), r.get("height"))) for r in records if "file_name" in r]
    if workers == 1:
        yield from map(_examine, tasks)
        return
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork" if os.name == "posix" else "spawn")) as pool:
        for future, chunk in [(pool.submit(partial(_examine_all, chunk)), chunk) for chunk in chunks]:
            try:
                yield from future.result()
            except BrokenProcessPool:  # a decoder that crashes takes its process with it, and the pool
                for path, _ in chunk:
                    yield Examined(path, "unreadable", "a process died while this or an image beside it was decoded")


def _examine_all(tasks: list) -> list[Examined]:
    return [_examine(task) for task in tasks]


def _examine(task: tuple[str, tuple[int | None, int | None]]) -> Examined:
    path, expected = task
    found, mode = read_header(path, expected)
    if isinstance(found, Exception):
        return Examined(path, "unreadable", f"{type(found).__name__}: {found}")
    if None not in expected and found != expected:
        return Examined(path, "size", f"annotated {expected[0]} x {expected[1]}, is {found[0]} x {found[1]}")
    try:
        with PathManager.open(path, "rb") as file, Image.open(file) as image:
            image.verify()  # checksums, where the format has them
        with PathManager.open(path, "rb") as file, Image.open(file) as image:
            image.load()
    except Exception as error:  # PIL raises whatever it likes
        return Examined(path, "unreadable", f"{type(error).__name__}: {error}")
    if mode.startswith(DEEP_MODES):
        return Examined(path, "deep", f"Pillow's mode {mode}")
    return Examined(path)
