"""Check the names of a dataset's image files, and find missing image files and files with the same content."""

import hashlib
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from detectron2.utils.file_io import PathManager

from seesaw_d2.data.images.lookup import describe_near, near_files
from seesaw_d2.data.records.records import Records, file_names, take
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few, warn_once
from seesaw_d2.utils.regular_files import open_regular
from seesaw_d2.utils.untrusted_paths import leads_outside

logger = logging.getLogger(__name__)


def check_relative_names(names: Sequence[Any], ids: Sequence[int], fields: str, path: str) -> None:
    """Check that the image file names in an annotation file are valid paths relative to the image folder.

    Args:
        names: file name of each image.
        ids: id of each image.
        fields: names of the fields that contain the file names, such as '"file_name"', for messages.
        path: path of the annotation file, for messages.

    Raises:
        DataError: a file name is missing, is invalid, or leads to a path outside the image folder.
    """
    nameless = [image for image, name in zip(ids, names, strict=True) if not isinstance(name, str) or not name]
    if nameless:
        raise DataError(
            f'{path}: expected {fields} in every entry of "images", found {len(nameless)} of {len(names)} entries '
            f"without a file name (image ids {first_few(nameless)})"
        )
    nothing = [name for name in names if not _is_file_name(name)]
    if nothing:
        raise DataError(
            f"{path}: expected file names of valid Unicode characters, found names with unpaired surrogates: "
            f"{first_few(map(ascii, nothing))}. Rename these files, and correct their names in the annotation file."
        )
    outside = [name for name in names if leads_outside(name)]
    if outside:
        raise DataError(
            f"{path}: {fields}: expected paths below the image folder, found paths outside the folder: "
            f"{first_few(outside)}. Correct the paths or the image folder."
        )


def _is_file_name(name: str) -> bool:
    """Return True if the operating system can encode a string as a file name.

    Strings in JSON can contain unpaired surrogates such as "\\ud800", which cannot be encoded.
    """
    try:
        os.fsencode(name)
    except UnicodeError:
        return False
    return True


def check_below(dicts: list[dict[str, Any]], image_root: str, path: str) -> None:
    """Raise DataError if an image file of the dataset dicts is outside the image folder.

    Args:
        dicts: dataset dicts.
        image_root: the image folder.
        path: path of the annotation file, for messages.
    """
    folder = os.path.join(image_root, "")
    names = [record["file_name"] for record in dicts]
    outside = [name for name in names if not name.startswith(folder) or leads_outside(name.removeprefix(folder))]
    if outside:
        raise DataError(
            f"{path}: expected image files below {image_root}, found paths outside this folder: {first_few(outside)}. "
            "Correct the paths or the image folder."
        )


def missing_files(records: Records) -> list[str]:
    """Return the image files that do not exist, in the order of the dataset dicts. Skip dicts without "file_name".

    Folders and pipes count as missing. Links are followed, even to files outside the image folder. Unlike paths in
    annotation files, links are trusted, because the owner of the image folder creates the links.

    This function lists each folder once, which takes seconds on a network file system. Testing each file would take
    minutes.
    """
    listings: dict[str, set[str]] = {}
    suspects = []
    for name in file_names(records):
        if name is None:
            continue
        path = os.fspath(name)
        folder = path[: path.rfind("/") + 1]
        if folder not in listings:
            listings[folder] = _listing(folder)
        if path[len(folder) :] not in listings[folder]:
            suspects.append(name)
    # A file can exist although the listing of its folder lacks its name, because some file systems ignore case or
    # normalize Unicode. Therefore test each file that is not in the listing.
    return [name for name in suspects if not PathManager.isfile(name)]


def without_missing_images(records: Records, names: list[str], *, skip: bool) -> Records:
    """Return the dataset dicts whose image file exists.

    Args:
        records: dataset dicts.
        names: names of the datasets, for messages.
        skip: if True, log a warning and omit missing images. If False, raise DataError for missing images.

    Raises:
        DataError: image files are missing and ``skip`` is False, or all image files are missing.
    """
    missing = missing_files(records)
    if not missing:
        return records
    where = f"dataset{'s' * (len(names) > 1)} {', '.join(names)}"
    folders = [f"{folder} (no such folder, {number} images)" for folder, number in missing_folders(missing).items()]
    listed = f"{first_few(folders or missing)}{describe_near(near_files(missing))}"
    found = f"{where}: {len(missing)} of {len(records)} image files are missing: {listed}"
    if not skip:
        raise DataError(
            f"{found}. Check the image folder, or set DATALOADER.SKIP_BAD_IMAGES True to skip missing images."
        )
    if len(missing) == len(records):
        raise DataError(f"{found}. DATALOADER.SKIP_BAD_IMAGES True would skip all images. Check the image folder.")
    warn_once(logger, f"{found}. These images are skipped, because DATALOADER.SKIP_BAD_IMAGES is True.")
    gone = set(missing)
    return take(records, [index for index, name in enumerate(file_names(records)) if name not in gone])


def missing_folders(missing: list[str]) -> dict[str, int]:
    """Return the folders that do not exist among the folders of missing files.

    Whole folders are often missing: users of LVIS may lack COCO's folder train2017, which contains some validation
    images of LVIS.

    Args:
        missing: paths of the missing files.

    Returns:
        a dict from each folder that does not exist to the number of missing files in this folder.
    """
    counts = Counter(os.path.dirname(name) for name in missing)
    return {folder: count for folder, count in counts.items() if not PathManager.isdir(folder or ".")}


def same_content(paths: Sequence[str]) -> list[list[int]]:
    """Find files with the same content.

    To save time, only files whose size equals the size of another file are read.

    Returns:
        a list for each group of at least two equal files. The list contains the indices of these files in ``paths``.
    """
    sizes: dict[int, list[int]] = defaultdict(list)
    for index, path in enumerate(paths):
        sizes[os.path.getsize(path)].append(index)
    groups: dict[bytes, list[int]] = defaultdict(list)
    for indices in sizes.values():
        for index in indices if len(indices) > 1 else ():
            with open_regular(paths[index], "rb") as file:
                groups[hashlib.blake2b(file.read()).digest()].append(index)
    return [group for group in groups.values() if len(group) > 1]


def shared_files(first: Sequence[str], second: Sequence[str], *, contents: bool = True) -> dict[str, str]:
    """Find the files in ``second`` that are also in ``first``, for example images in both training and test set.

    Args:
        first, second: paths of files.
        contents: if True, compare the paths and the contents. If False, compare only the paths. Links in paths are
            always resolved.

    Returns:
        a dict from each shared path in ``second`` to the path of the same file in ``first``.
    """
    known = {os.path.realpath(path): path for path in first}
    shared = {path: known[os.path.realpath(path)] for path in second if os.path.realpath(path) in known}
    if contents:
        paths = [*first, *(path for path in second if path not in shared)]
        for group in same_content(paths):
            for index in group:
                if index >= len(first) > group[0]:
                    shared[paths[index]] = paths[group[0]]
    return shared


def _listing(folder: str) -> set[str]:
    """Return the names of the files in a folder, or an empty set if the folder cannot be read."""
    try:
        with os.scandir(folder or ".") as found:
            return {item.name for item in found if _is_file(item)}
    except OSError:
        return set()


def _is_file(item: os.DirEntry) -> bool:
    try:
        return item.is_file()
    except OSError:  # for example, a link to itself causes this error
        return False
