"""Find the images in a folder, and list the skipped files and folders with the reasons for skipping."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from seesaw_d2.data.images.headers import is_image
from seesaw_d2.data.images.lookup import files_below
from seesaw_d2.utils.messages import first_few

# Files with these extensions count as images without being opened, because opening the 1.3 million files of ImageNet
# would take minutes at every start. Later checks report invalid images. Other files are opened, and count as images if
# Pillow recognizes the content.
IMAGE_EXTENSIONS = frozenset(
    (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
_THREADS = 16  # number of threads that read files at the same time


class FolderScan(NamedTuple):
    """Images found in a folder, and skipped files. All paths are sorted and relative to the folder.

    Attributes:
        images: paths of the images. Broken links with the extension of an image are included, because a later check
            reports them as missing images.
        passed_over: dict from the reason for skipping, such as "hidden" or "not images", to the paths of the skipped
            files and folders.
    """

    images: list[str]
    passed_over: dict[str, list[str]]


def scan_folder(folder: str, *, recursive: bool = True) -> FolderScan:
    """Find the images in a folder.

    A file is an image if it has a usual extension, such as ".jpg" or ".PNG", or if Pillow recognizes its content.

    Args:
        folder: the folder.
        recursive: if True, also search subfolders. If False, skip subfolders.

    Raises:
        OSError: ``folder`` cannot be read.
    """
    found = files_below(folder, recursive=recursive)
    unknown = [path for path in found.files if not has_image_extension(path)]
    with ThreadPoolExecutor(_THREADS) as pool:
        contents = dict(zip(unknown, pool.map(lambda path: is_image(os.path.join(folder, path)), unknown), strict=True))
    # A broken link with the extension of an image counts as an image. A later check reports it as a missing image.
    lost = [path for path in found.other if has_image_extension(path) and os.path.islink(os.path.join(folder, path))]
    reasons = {
        "hidden": found.hidden,
        "not images": [path for path, image in contents.items() if not image],
        "folders" if not recursive else "folders that cannot be read": [p for p in found.other if p.endswith("/")],
        "not regular files": [path for path in found.other if not path.endswith("/") and path not in lost],
    }
    images = [path for path in found.files if contents.get(path, True)]
    return FolderScan(sorted(images + lost), {reason: paths for reason, paths in reasons.items() if paths})


def has_image_extension(path: str) -> bool:
    """Return True if a file name has a usual image extension, such as ".jpg", in upper or lower case."""
    return os.path.splitext(path)[1].lower() in IMAGE_EXTENSIONS


def describe_passed_over(passed_over: Mapping[str, Sequence[str]]) -> str:
    """Describe skipped files for a message, such as "2 hidden (.a, .b); 1 not images (notes.txt)".

    Args:
        passed_over: dict from the reason for skipping to the paths of the skipped files and folders.
    """
    return "; ".join(f"{len(paths)} {reason} ({first_few(paths)})" for reason, paths in passed_over.items())
