"""What the headers of image files tell, without decoding a pixel: format, size and depth."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

from detectron2.utils.file_io import PathManager
from PIL import Image, ImageFile, UnidentifiedImageError

from seesaw_d2.data.records.records import Records, files_with_sizes, take
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)

# Files opened for one data set: a second or so on a disk, and bounded on a network where an opening takes 10 ms.
MAX_OPENED = 5000
_THREADS = 16
_ORIENTATION = 0x0112
DEEP_MODES = ("I", "F")
# Formats that Pillow has other programs draw.
_PROGRAMS = {"EPS": "PostScript", "WMF": "a Windows metafile"}
# A format of several pictures that photos have: the first is the photo, the others are previews or brightness maps.
_PHOTO_FORMATS = ("MPO",)


class NotDecodedError(ValueError):
    """Pillow recognizes the format, and has no decoder for it."""


class Header(NamedTuple):
    """What the header of an image file tells.

    Attributes:
        size: width and height as Detectron2 will see them, or what went wrong.
        mode: Pillow's mode, "" if something went wrong.
        several: whether the file has more frames or pages than one, of which only the first is read.
    """

    size: tuple[int, int] | Exception
    mode: str = ""
    several: bool = False


def check_headers(records: Records, name: str, *, skip: bool, deep: str = "warn") -> None:
    """Whether the image files of a data set are images of the annotated size.

    Opens all of them where they are at most ``MAX_OPENED``, else so many, evenly spread. Finds what is empty, a
    folder, no image or of another size; not what is truncated, which only decoding tells. Files of several frames or
    pages get a warning.

    Args:
        records: Detectron2's dataset dicts; the files exist. Those without a file are passed over.
        name: of the data set.
        skip: DATALOADER.SKIP_BAD_IMAGES: files that are no image are left to the loaders, which do without.
        deep: "warn" of images of more than 8 bits (PIL's modes I, I;16, F), whose values Detectron2's mapper cuts off
            at 255, nearly all white, or "refuse" them.

    Raises:
        DataError: a file is no image (unless ``skip``), or one has another size than annotated, or more than 8 bits
            with ``deep="refuse"``.
    """
    # Ceiling, so that no more are opened.
    chosen = take(records, range(0, len(records), -(-len(records) // MAX_OPENED) or 1))
    opened = [(path, size) for path, size in files_with_sizes(chosen) if path is not None]
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(lambda file: read_header(*file), opened))
    found = list(zip(opened, headers, strict=True))
    bad = [f"{path} ({type(h.size).__name__}: {h.size})" for (path, _), h in found if isinstance(h.size, Exception)]
    if bad and not skip:
        raise DataError(
            f"image files of {name} cannot be read: {first_few(bad)}. "
            "DATALOADER.SKIP_BAD_IMAGES True does without such images"
        )
    other_size = [
        f"{path} ({describe_size(path, expected, header.size)})"
        for (path, expected), header in found
        if not isinstance(header.size, Exception) and None not in expected and header.size != expected
    ]
    if other_size:
        raise DataError(
            f"image files of {name} have another width x height than the annotation file says: {first_few(other_size)}"
        )
    _check_depth(name, [path for (path, _), header in found if header.mode.startswith(DEEP_MODES)], deep)
    several = [path for (path, _), header in found if header.several]
    if several:
        text = f"image files of {name} have several frames or pages, of which only the first is used"
        warn_once(logger, f"{text}: {first_few(several)}")


def _check_depth(name: str, paths: list[str], deep: str) -> None:
    if not paths:
        return
    text = f"image files of {name} have more than 8 bits per pixel"
    if deep == "refuse":
        raise DataError(f"{text}; expected 8-bit images: {first_few(paths)}")
    warn_once(
        logger,
        f"{text}; Detectron2's mapper makes all values above 255 white; expected 8-bit images: {first_few(paths)}",
    )


def is_image(path: str) -> bool:
    """Return whether the content of a file is an image's, whatever its name. Damaged or huge images are images."""
    return not isinstance(read_header(path, (None, None)).size, (UnidentifiedImageError, NotDecodedError))


def read_header(path: str, expected: tuple[int | None, int | None]) -> Header:
    """Return what the header of an image file tells.

    Args:
        path: the file.
        expected: annotated width and height, or None.
    """
    try:
        with PathManager.open(path, "rb") as file, _opened(file) as image:
            if image.format in _PROGRAMS:
                program = _PROGRAMS[image.format]
                raise NotDecodedError(f"a program ({program}), which Pillow would start an interpreter for")
            if isinstance(image, ImageFile.StubImageFile) or image.format == "MPEG":
                raise NotDecodedError(f"a file of the format {image.format}, which Pillow does not decode")
            width, height = image.size
            # A PNG's EXIF data may lie behind the pixels, and asking for them decodes those: only where it may matter.
            quick = image.format != "PNG" or "exif" in image.info
            turned = (quick or image.size != expected) and _is_turned(image)
            several = image.format not in _PHOTO_FORMATS and getattr(image, "is_animated", False)
            return Header((height, width) if turned else (width, height), image.mode, several)
    except Exception as error:  # PIL raises whatever it likes
        return Header(error)


def describe_size(path: str, expected: tuple[int | None, int | None], found: tuple[int, int]) -> str:
    """Return how an image's size differs from the annotated one, and whether the rotation by its EXIF data is why.

    Args:
        expected, found: width and height as annotated, and as of ``read_header``.
    """
    text = f"annotated {expected[0]} x {expected[1]}, is {found[0]} x {found[1]}"
    if expected != found[::-1]:
        return text
    with PathManager.open(path, "rb") as file, _opened(file) as image:
        turned = _is_turned(image)
    return (
        f"{text} after the rotation in its EXIF data; the annotations are for the image without it" if turned else text
    )


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
