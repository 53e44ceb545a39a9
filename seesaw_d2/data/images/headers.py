"""Read the format, size and depth of image files from their headers, without decoding pixels."""

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

# Maximum number of files to open per data set. Opening 5000 files takes a second on a local disk, and less than a
# minute on a network file system.
MAX_OPENED = 5000
_THREADS = 16
_ORIENTATION = 0x0112
DEEP_MODES = ("I", "F")
# Formats that Pillow can decode only by running an external program.
_PROGRAMS = {"EPS": "a PostScript file", "WMF": "a Windows metafile"}
# Formats of photos that can contain additional images, such as previews. These images are not frames or pages.
_PHOTO_FORMATS = ("MPO",)


class NotDecodedError(ValueError):
    """Raised if Pillow recognizes the format of an image file, but this process cannot decode the format."""


class Header(NamedTuple):
    """Information in the header of an image file.

    Attributes:
        size: width and height after the rotation that the EXIF data requires. Detectron2 also applies this rotation. If
            the header cannot be read, ``size`` is the error.
        mode: Pillow's mode, or "" if the header cannot be read.
        several: whether the file contains several frames or pages. The loaders read only the first frame or page.
    """

    size: tuple[int, int] | Exception
    mode: str = ""
    several: bool = False


def check_headers(records: Records, name: str, *, skip: bool, deep: str = "warn") -> None:
    """Check that the files of a data set are images of the annotated size.

    The function opens at most ``MAX_OPENED`` files, evenly distributed over the data set. Truncated files are not
    detected, because their headers are valid. Files with several frames or pages cause a warning.

    Args:
        records: dataset dicts whose files exist. Records without a file are skipped.
        name: name of the data set, for messages.
        skip: value of DATALOADER.SKIP_BAD_IMAGES. If False, raise DataError for files that are not images. If True,
            accept these files, because the loaders replace them.
        deep: how to handle images with more than 8 bits per channel (Pillow's modes I, I;16, F):

            - "warn": log a warning, because Detectron2's mapper clips pixel values at 255.
            - "refuse": raise DataError.

    Raises:
        DataError: a file is not an image (if ``skip`` is False), an image does not have the annotated size, or an image
            has more than 8 bits per channel (if ``deep`` is "refuse").
    """
    # Round the step up, to open at most MAX_OPENED files.
    chosen = take(records, range(0, len(records), -(-len(records) // MAX_OPENED) or 1))
    opened = [(path, size) for path, size in files_with_sizes(chosen) if path is not None]
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(lambda file: read_header(*file), opened))
    found = list(zip(opened, headers, strict=True))
    bad = [f"{path} ({type(h.size).__name__}: {h.size})" for (path, _), h in found if isinstance(h.size, Exception)]
    if bad and not skip:
        raise DataError(
            f"data set {name}: cannot read {len(bad)} of {len(opened)} image files: {first_few(bad)}. Set "
            "DATALOADER.SKIP_BAD_IMAGES True to skip unreadable images."
        )
    other_size = [
        f"{path} ({describe_size(path, expected, header.size)})"
        for (path, expected), header in found
        if not isinstance(header.size, Exception) and None not in expected and header.size != expected
    ]
    if other_size:
        raise DataError(
            f"data set {name}: expected image files with the annotated width x height, found {len(other_size)} of "
            f"{len(opened)} files with a different size: {first_few(other_size)}. Correct the annotated sizes, or "
            "replace the image files."
        )
    _check_depth(name, [path for (path, _), header in found if header.mode.startswith(DEEP_MODES)], deep)
    several = [path for (path, _), header in found if header.several]
    if several:
        text = f"data set {name}: {len(several)} of {len(opened)} image files contain several frames or pages"
        warn_once(logger, f"{text}: {first_few(several)}. Only the first frame or page is used.")


def _check_depth(name: str, paths: list[str], deep: str) -> None:
    if not paths:
        return
    if deep == "refuse":
        raise DataError(
            f"data set {name}: expected image files with 8 bits per channel, found more than 8 bits in "
            f"{first_few(paths)}. Convert these files to 8 bits per channel."
        )
    warn_once(
        logger,
        f"data set {name}: image files have more than 8 bits per channel: {first_few(paths)}. Detectron2's mapper "
        "clips pixel values at 255, so most pixels may become white. Convert these files to 8 bits per channel.",
    )


def is_image(path: str) -> bool:
    """Return True if a file is an image of a format that Pillow decodes, even a damaged or very large image."""
    return not isinstance(read_header(path, (None, None)).size, (UnidentifiedImageError, NotDecodedError))


def read_header(path: str, expected: tuple[int | None, int | None]) -> Header:
    """Read the header of an image file. An error is not raised, but returned as ``Header.size``.

    Args:
        path: path of the file.
        expected: annotated width and height. A value that is not annotated is None.
    """
    try:
        with PathManager.open(path, "rb") as file, _opened(file) as image:
            if image.format in _PROGRAMS:
                program = _PROGRAMS[image.format]
                raise NotDecodedError(
                    f"the file is {program}. Pillow decodes such files by running an external program, which is not "
                    "allowed here"
                )
            if isinstance(image, ImageFile.StubImageFile) or image.format == "MPEG":
                raise NotDecodedError(f"Pillow cannot decode the format {image.format}")
            width, height = image.size
            # In PNG files, EXIF data can follow the pixels. Pillow then decodes the pixels before it reads the EXIF
            # data, which is slow. Therefore read such EXIF data only if the size differs from the annotated size.
            quick = image.format != "PNG" or "exif" in image.info
            turned = (quick or image.size != expected) and _is_turned(image)
            several = image.format not in _PHOTO_FORMATS and getattr(image, "is_animated", False)
            return Header((height, width) if turned else (width, height), image.mode, several)
    except Exception as error:  # Pillow raises errors of many types
        return Header(error)


def describe_size(path: str, expected: tuple[int | None, int | None], found: tuple[int, int]) -> str:
    """Describe the difference between an image's size and the annotated size, for messages.

    The description says if a rotation by EXIF data is the reason for the difference.

    Args:
        path: path of the image file.
        expected: annotated width and height.
        found: width and height from ``read_header``.
    """
    text = f"annotated {expected[0]} x {expected[1]}, found {found[0]} x {found[1]}"
    if expected != found[::-1]:
        return text
    with PathManager.open(path, "rb") as file, _opened(file) as image:
        turned = _is_turned(image)
    return (
        f"{text} after the rotation by the image's EXIF data. The annotated size is the size before this rotation"
        if turned
        else text
    )


def _opened(file: BinaryIO) -> Image.Image:
    """Open an image with Pillow. Replace Pillow's message for unknown formats, which contains a memory address."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        raise UnidentifiedImageError(
            "Pillow does not recognize the image format" if file.seek(0, os.SEEK_END) else "the file is empty"
        ) from None


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
    except Exception:  # like Detectron2, assume no rotation
        return False
