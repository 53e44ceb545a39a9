"""Find damaged image files by decoding all images of a dataset in worker processes."""

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from detectron2.utils.file_io import PathManager
from PIL import Image

from seesaw_d2.data.images.headers import DEEP_MODES, describe_size, orientation, read_header
from seesaw_d2.data.records.records import Records, files_with_sizes
from seesaw_d2.utils.messages import reason

# Each task of a worker process decodes a list (chunk) of at most this number of images.
_CHUNK = 32

# Image to decode: the path of the file, and the annotated (width, height). A width or height that is not annotated is
# None.
_Task = tuple[str, tuple[int | None, int | None]]


@dataclass(frozen=True)
class Examined:
    """Problem found while an image file was decoded, or no problem.

    Attributes:
        path: path of the file.
        kind: type of problem:

            - "": the image has no problem.
            - "unreadable": the image cannot be decoded.
            - "twice": EXIF data rotate or mirror a TIFF file. Pillow and Detectron2 would both apply these data.
            - "size": the image does not have the annotated size.
            - "deep": the image has more than 8 bits per channel.
            - "several": the file contains several frames or pages. The loaders use only the first frame or page.
            - "turned": EXIF data requires a rotation or reflection that does not change the width and height.
        problem: description of the problem, or "" for an image without a problem.
    """

    path: str
    kind: str = ""
    problem: str = ""


def examine_images(records: Records, workers: int) -> Iterator[Examined]:
    """Decode the image files of dataset dicts. Yield an ``Examined`` for each file, in arbitrary order.

    Args:
        records: dataset dicts. Dicts without "file_name" are skipped.
        workers: number of worker processes. If 1, decode in this process.
    """
    tasks = [(name, size) for name, size in files_with_sizes(records) if name is not None]
    if workers == 1:
        yield from map(_examine, tasks)
        return
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    while chunks:
        left: list[list[_Task]] = []
        yield from _examine_chunks(chunks, workers, left)
        # If the decoder of an image crashed, ``left`` contains the unfinished chunks. The image is in one of the first
        # of these chunks, because workers start the chunks in order. Decode each of their images in a separate process
        # to find it.
        suspects, chunks = left[: workers + 1], left[workers + 1 :]
        for task in itertools.chain.from_iterable(suspects):
            died: list[list[_Task]] = []
            yield from _examine_chunks([[task]], 1, died)
            for ((path, _),) in died:
                yield Examined(path, "unreadable", "the process that decoded the image crashed")


def _examine_chunks(chunks: list[list[_Task]], workers: int, left: list[list[_Task]]) -> Iterator[Examined]:
    """Decode lists (chunks) of images in worker processes, and yield an ``Examined`` for each image.

    If a decoder crashes, ``ProcessPoolExecutor`` terminates all worker processes. This function then appends the
    unfinished chunks to ``left``, in order.

    Args:
        chunks: lists of images.
        workers: number of worker processes.
        left: empty list that receives the unfinished chunks.
    """
    with ProcessPoolExecutor(workers, mp_context=get_context("fork" if os.name == "posix" else "spawn")) as pool:
        futures = []
        for chunk in chunks:
            try:
                futures.append((pool.submit(partial(_examine_all, chunk)), chunk))
            except BrokenProcessPool:
                left.append(chunk)
        # After a crash, ``left`` contains the chunks that could not be submitted. Insert submitted but unfinished
        # chunks before them, so that all chunks stay in order.
        not_submitted = len(left)
        for future, chunk in futures:
            try:
                yield from future.result()
            except BrokenProcessPool:
                left.insert(len(left) - not_submitted, chunk)


def _examine_all(tasks: list[_Task]) -> list[Examined]:
    return [_examine(task) for task in tasks]


def _examine(task: _Task) -> Examined:
    """Read the header of an image, decode the image, and return the first problem found."""
    path, expected = task
    found, mode, several, twice = read_header(path, expected)
    if isinstance(found, Exception):
        return Examined(path, "unreadable", f"{type(found).__name__}: {reason(found)}")
    if twice:
        return Examined(path, "twice", f"TIFF file with EXIF orientation {twice}")
    if None not in expected and found != expected:
        return Examined(path, "size", describe_size(path, expected, found))
    try:
        with PathManager.open(path, "rb") as file, Image.open(file) as image:
            image.verify()  # checks the checksums in formats such as PNG
        with PathManager.open(path, "rb") as file, Image.open(file) as image:
            image.load()
            turned = orientation(image)
    except Exception as error:  # Pillow raises errors of many types for damaged images
        return Examined(path, "unreadable", f"{type(error).__name__}: {reason(error)}")
    if mode.startswith(DEEP_MODES):
        return Examined(path, "deep", f"Pillow's mode {mode}")
    if several:
        return Examined(path, "several", "several frames or pages")
    if turned != 1 and (turned < 5 or found[0] == found[1]):
        return Examined(path, "turned", f"EXIF orientation {turned}")
    return Examined(path)
