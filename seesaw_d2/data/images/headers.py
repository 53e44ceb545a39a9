"""What the headers of image files tell, without decoding a pixel: format, size and depth."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from detectron2.utils.file_io import PathManager
from PIL import Image, UnidentifiedImageError

from seesaw_d2.data.records.columns import Records, files_with_sizes, take
from seesaw_d2.data.records.json_files import first_few, warn_once
from seesaw_d2.errors import DataError

logger = logging.getLogger(__name__)

# Files opened for one data set: a second or so on a disk, and bounded on a network where an opening takes 10 ms.
MAX_OPENED = 5000
_THREADS = 16
_ORIENTATION = 0x0112
DEEP_MODES = ("I", "F")
# Formats that Pillow has other programs draw.
_PROGRAMS = {"EPS": "PostScript", "WMF": "a Windows metafile"}


def check_headers(records: Records, name: str, *, skip: bool) -> None:
    """Whether the image files of a data set are images of the annotated size.

    Opens all of them where they are at most ``MAX_OPENED``, else so many, evenly spread. Finds what is empty, a
    folder, no image or of another size; not what is truncated, which only decoding tells. Images of more than 8 bits
    (PIL's modes I, I;16, F) get a warning: Detectron2's mapper cuts their values off at 255, nearly all white.

    Args:
        records: Detectron2's dataset dicts; the files exist.
        name: of the data set.
        skip: DATALOADER.SKIP_BAD_IMAGES: files that are no image are left to the loaders, which do without.

    Raises:
        DataError: a file is no image (unless ``skip``), or one has another size than annotated.
    """
    # Ceiling, so that no more are opened.
    opened = list(files_with_sizes(take(records, range(0, len(records), -(-len(records) // MAX_OPENED) or 1))))
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(lambda file: read_header(*file), opened))
    unreadable, other_size, deep = [], [], []
    for (path, expected), (found, mode) in zip(opened, headers, strict=True):
        if isinstance(found, Exception):
            unreadable.append(f"{path} ({type(found).__name__}: {found})")
        elif None not in expected and found != expected:
            other_size.append(f"{path} (annotated {expected[0]} x {expected[1]}, is {found[0]} x {found[1]})")
        elif mode.startswith(DEEP_MODES):
            deep.append(path)
    if unreadable and not skip:
        raise DataError(
            f"image files of {name} cannot be read: {first_few(unreadable)}. "
            "DATALOADER.SKIP_BAD_IMAGES True does without such images"
        )
    if other_size:
        raise DataError(
            f"image files of {name} have another width x height (after the rotation that their EXIF data ask for) "
            f"than the annotation file says: {first_few(other_size)}"
        )
    if deep:
        warn_once(
            logger,
            f"image files of {name} have more than 8 bits per pixel; Detectron2's mapper makes all values above 255 "
            f"white; expected 8-bit images: {first_few(deep)}",
        )


def read_header(path: str, expected: tuple[int | None, int | None]) -> tuple[tuple[int, int] | Exception, str]:
    """Size (width, height) as Detectron2 will see it and PIL's mode, or what went wrong."""
    try:
        with PathManager.open(path, "rb") as file, _opened(file) as image:
            if image.format in _PROGRAMS:
                raise ValueError(f"a program ({_PROGRAMS[image.format]}), which Pillow would start an interpreter for")
            width, height = image.size
            # A PNG's EXIF data may lie behind the pixels, and asking for them decodes those: only where it may matter.
            quick = image.format != "PNG" or "exif" in image.info
            turned = (quick or image.size != expected) and _is_turned(image)
            return ((height, width) if turned else (width, height)), image.mode
    except Exception as error:  # PIL raises whatever it likes
        return error, ""


def _opened(file: BinaryIO) -> Image.Image:
    """As Pillow opens a file; its message about what it does not know has the file object's address in it."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        reason = "of no format that Pillow knows" if file.seek(0, os.SEEK_END) else "it is empty"
        raise UnidentifiedImageError(f"cannot identify image file: {reason}") from None


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    except Exception:  # as Detectron2: then it is not turned
        return False
