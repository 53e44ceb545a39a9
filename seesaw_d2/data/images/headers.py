"""Read the format, size and bits per channel of image files from their headers, without decoding pixels."""

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

# ``check_headers`` opens at most this number of files per dataset. Opening 5000 files takes a second on a local disk,
# and less than a minute on a network file system.
MAX_OPENED = 5000
_THREADS = 16  # number of threads that read headers at the same time
_ORIENTATION = 0x0112  # EXIF tag that says how to rotate or mirror the image for display
_WIDTH, _HEIGHT = 256, 257  # TIFF tags
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
# Remedy for ``Header.twice``, for messages.
TWICE = "Pillow rotates or mirrors such TIFF files, and Detectron2 does it again. Convert these files to PNG or JPEG"
DEEP_MODES = ("I", "F")  # first letters of Pillow's modes with more than 8 bits per channel
# ``read_header`` refuses these formats, because Pillow can decode them only by running an external program. Each key is
# the name of a format, and each value describes the format in messages.
_PROGRAMS = {"EPS": "a PostScript file", "WMF": "a Windows metafile"}
# A file in one of these formats contains a photo, and possibly additional images such as previews. ``read_header`` does
# not count the additional images as frames or pages.
_PHOTO_FORMATS = ("MPO",)


class NotDecodedError(ValueError):
    """Raised if Pillow recognizes the format of an image file, but this process cannot decode the format."""


class Header(NamedTuple):
    """Size, mode and number of frames of an image file, read from its header.

    Attributes:
        size: width and height after the rotation that the EXIF data requires. Detectron2 also applies this rotation. If
            the header cannot be read, ``size`` is the error.
        mode: Pillow's mode, such as "RGB", or "" if the header cannot be read.
        several: True if the file contains several frames or pages. The loaders read only the first frame or page.
        twice: EXIF orientation of a TIFF file that is rotated or mirrored, or 0. Pillow applies the EXIF data of TIFF
            files. Detectron2 applies them again, so that the pixels do not fit any annotations.
    """

    size: tuple[int, int] | Exception
    mode: str = ""
    several: bool = False
    twice: int = 0


def check_headers(records: Records, name: str, *, skip: bool, deep: str = "warn", twice: str = "refuse") -> None:
    """Check that the image files of a dataset are images and have the annotated sizes.

    The function opens at most ``MAX_OPENED`` (5000) files, evenly distributed over the dataset. Truncated files are
    not detected, because their headers are valid. Files with several frames or pages cause a warning.

    Args:
        records: dataset dicts whose files exist. Dicts without "file_name" are skipped.
        name: name of the dataset, for messages.
        skip: value of DATALOADER.SKIP_BAD_IMAGES. If False, raise DataError for files that are not images. If True,
            accept these files, because the loaders replace them.
        deep: how to handle images with more than 8 bits per channel (Pillow's modes I, I;16, F):

            - "warn": log a warning, because Detectron2's mapper clips pixel values at 255.
            - "refuse": raise DataError.

        twice: how to handle TIFF files whose EXIF data rotate or mirror them. "refuse" raises DataError, because
            Detectron2 would apply the EXIF data twice. "accept" is for other loaders.

    Raises:
        DataError: a file is not an image (if ``skip`` is False), an image does not have the annotated size, an image
            has more than 8 bits per channel (if ``deep`` is "refuse"), or EXIF data rotate or mirror a TIFF file (if
            ``twice`` is "refuse").
    """
    # Read every n-th header. n is the number of images divided by MAX_OPENED, rounded up to open at most MAX_OPENED
    # files.
    chosen = take(records, range(0, len(records), -(-len(records) // MAX_OPENED) or 1))
    opened = [(path, size) for path, size in files_with_sizes(chosen) if path is not None]
    with ThreadPoolExecutor(_THREADS) as pool:
        headers = list(pool.map(lambda file: read_header(*file), opened))
    found = list(zip(opened, headers, strict=True))
    bad = [f"{path} ({type(h.size).__name__}: {h.size})" for (path, _), h in found if isinstance(h.size, Exception)]
    if bad and not skip:
        raise DataError(
            f"dataset {name}: cannot read {len(bad)} of {len(opened)} image files: {first_few(bad)}. Set "
            "DATALOADER.SKIP_BAD_IMAGES True to skip unreadable images."
        )
    turned = [f"{path} (orientation {header.twice})" for (path, _), header in found if header.twice]
    if turned and twice == "refuse":
        raise DataError(
            f"dataset {name}: expected TIFF files without a rotation or reflection in their EXIF data, found "
            f"{len(turned)} of {len(opened)} files with one: {first_few(turned)}. {TWICE}."
        )
    other_size = [
        f"{path} ({describe_size(path, expected, header.size)})"
        for (path, expected), header in found
        if not isinstance(header.size, Exception) and None not in expected and header.size != expected
    ]
    if other_size:
        raise DataError(
            f"dataset {name}: expected image files with the annotated width x height, found {len(other_size)} of "
            f"{len(opened)} files with a different size: {first_few(other_size)}. Correct the annotated sizes, or "
            "replace the image files."
        )
    _check_depth(name, [path for (path, _), header in found if header.mode.startswith(DEEP_MODES)], deep)
    several = [path for (path, _), header in found if header.several]
    if several:
        text = f"dataset {name}: {len(several)} of {len(opened)} image files contain several frames or pages"
        warn_once(logger, f"{text}: {first_few(several)}. Only the first frame or page is used.")


def _check_depth(name: str, paths: list[str], deep: str) -> None:
    """Log a warning, or raise DataError if ``deep`` is "refuse", because images have more than 8 bits per channel.

    Args:
        name: name of the dataset.
        paths: paths of the images with more than 8 bits per channel. If empty, do nothing.
        deep: "warn" or "refuse".
    """
    if not paths:
        return
    if deep == "refuse":
        raise DataError(
            f"dataset {name}: expected image files with 8 bits per channel, found more than 8 bits in "
            f"{first_few(paths)}. Convert these files to 8 bits per channel."
        )
    warn_once(
        logger,
        f"dataset {name}: image files have more than 8 bits per channel: {first_few(paths)}. Detectron2's mapper "
        "clips pixel values at 255, so most pixels may become white. Convert these files to 8 bits per channel.",
    )


def is_image(path: str) -> bool:
    """Return True if Pillow recognizes a file as an image and can decode its format.

    Damaged and very large images also count as images.
    """
    return not isinstance(read_header(path, (None, None)).size, (UnidentifiedImageError, NotDecodedError))


def read_header(path: str, expected: tuple[int | None, int | None]) -> Header:
    """Read the header of an image file. If this fails, return the error as ``Header.size`` instead of raising it.

    Args:
        path: path of the file.
        expected: annotated width and height. A value that is not annotated is None.
    """
    try:
        with PathManager.open(path, "rb") as file, opened(file) as image:
            refuse_programs(image)
            if isinstance(image, ImageFile.StubImageFile) or image.format == "MPEG":
                raise NotDecodedError(
                    f"Pillow cannot decode the format {image.format}. Convert the file to PNG or JPEG"
                )
            # Before version 11, Pillow rotates TIFF files only when it decodes them. Therefore read the stored size.
            tiff = image.format == "TIFF"
            width, height = (image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]) if tiff else image.size
            # In a PNG file, EXIF data can follow the pixels. To read such EXIF data, Pillow must first decode the
            # pixels, which is slow. Therefore read it only if the size differs from the annotated size, possibly
            # because of a rotation.
            quick = image.format != "PNG" or "exif" in image.info
            turned = orientation(image) if quick or image.size != expected else 1
            several = image.format not in _PHOTO_FORMATS and getattr(image, "is_animated", False)
            size = (height, width) if turned in _SIDEWAYS else (width, height)
            return Header(size, image.mode, several, twice=turned * (tiff and turned > 1))
    except Exception as error:  # Pillow raises errors of many types for damaged images
        return Header(error)


def describe_size(path: str, expected: tuple[int | None, int | None], found: tuple[int, int]) -> str:
    """Describe the difference between an image's size and the annotated size, for messages.

    For example: "annotated 640 x 480, found 480 x 640 after the rotation by the image's EXIF data. ...". A rotation is
    mentioned only if it is the reason for the difference.

    Args:
        path: path of the image file.
        expected: annotated width and height.
        found: width and height from ``read_header``.
    """
    text = f"annotated {expected[0]} x {expected[1]}, found {found[0]} x {found[1]}"
    if expected != found[::-1]:
        return text
    with PathManager.open(path, "rb") as file, opened(file) as image:
        turned = orientation(image) in _SIDEWAYS
    return (
        f"{text} after the rotation by the image's EXIF data. The annotated size is the size before this rotation"
        if turned
        else text
    )


def refuse_programs(image: Image.Image) -> None:
    """Raise NotDecodedError if Pillow would run an external program to decode an image."""
    if image.format in _PROGRAMS:
        raise NotDecodedError(
            f"the file is {_PROGRAMS[image.format]}. To decode it, Pillow would run an external program, which is not "
            "allowed. Convert the file to PNG or JPEG"
        )


def opened(file: BinaryIO) -> Image.Image:
    """Open an image with Pillow. Replace Pillow's message for unknown formats, which contains a memory address."""
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        raise UnidentifiedImageError(
            "Pillow does not recognize the image format" if file.seek(0, os.SEEK_END) else "the file is empty"
        ) from None


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, from 1 to 8. The value 1 means neither rotated nor mirrored."""
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # if the EXIF data cannot be read, assume no rotation, as Detectron2 does
        return 1
    return found if found in range(1, 9) else 1
