"""Image files of a data set: names, missing files, and files with the same content."""

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
    """Check image files relative to the image folder.

    Args:
        names: file name of each image.
        ids: ids of the images.
        fields: fields that contain the names, for messages.
        path: path of the annotation file, for messages.

    Raises:
        DataError: an image has no file name, or one that leads outside of the image folder.
    """
    nameless = [image for image, name in zip(ids, names, strict=True) if not isinstance(name, str) or not name]
    if nameless:
        raise DataError(f'{path}: no {fields} in "images": ids {first_few(nameless)}')
    nothing = [name for name in names if not _is_file_name(name)]
    if nothing:
        raise DataError(f"{path}: invalid file names: {first_few(map(ascii, nothing))}")
    outside = [name for name in names if leads_outside(name)]
    if outside:
        raise DataError(
            f'{path}: expected "file_name" below the image folder, found paths outside it: {first_few(outside)}'
        )


def _is_file_name(name: str) -> bool:
    """Return whether a string can be a file's name. JSON can contain lone surrogates, which cannot be encoded."""
    try:
        os.fsencode(name)
    except UnicodeError:
        return False
    return True


def check_below(dicts: list[dict[str, Any]], image_root: str, path: str) -> None:
    """Raise DataError unless the names of the image files of dataset dicts lie below their folder.

    Args:
        path: path of the annotation file, for messages.
    """
    folder = os.path.join(image_root, "")
    names = [record["file_name"] for record in dicts]
    outside = [name for name in names if not name.startswith(folder) or leads_outside(name.removeprefix(folder))]
    if outside:
        raise DataError(
            f"{path}: expected image files below {image_root}, found paths outside it: {first_few(outside)}"
        )


def missing_files(records: Records) -> list[str]:
    """Return the image files that do not exist, in the records' order. Images in memory have no file.

    Folders and pipes count as missing. Links are followed. Their targets may lie anywhere, because the owner of the
    image folder creates links, not the annotation file.

    Each folder is listed once. On network file systems this takes seconds, while a query for each file would take
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
    # File systems that ignore case, normalize Unicode or are remote can open files under other names than they list.
    return [name for name in suspects if not PathManager.isfile(name)]


def without_missing_images(records: Records, names: list[str], *, skip: bool) -> Records:
    """Return the records whose image file exists.

    Args:
        names: names of the data sets, for messages.
        skip: True: omit missing images with a warning. False: raise DataError.

    Raises:
        DataError: an image file is missing and ``skip`` is False, or all of them are missing.
    """
    missing = missing_files(records)
    if not missing:
        return records
    count = f"{len(missing)} of {len(records)} image files of {', '.join(names)}"
    folders = [f"{folder} (no such folder, {number} images)" for folder, number in missing_folders(missing).items()]
    found = f"{count} are missing: {first_few(folders or missing)}{describe_near(near_files(missing))}"
    if not skip:
        raise DataError(f"{found}. Set DATALOADER.SKIP_BAD_IMAGES True to omit them")
    if len(missing) == len(records):
        raise DataError(f"{found}. No image is left")
    warn_once(logger, f"{found}. They are omitted (DATALOADER.SKIP_BAD_IMAGES)")
    gone = set(missing)
    return take(records, [index for index, name in enumerate(file_names(records)) if name not in gone])


def missing_folders(missing: list[str]) -> dict[str, int]:
    """Return the folders that do not exist, with the number of missing files in each.

    Whole folders are missing more often than single files: LVIS's validation images are partly in train2017.
    """
    counts = Counter(os.path.dirname(name) for name in missing)
    return {folder: count for folder, count in counts.items() if not PathManager.isdir(folder or ".")}


def same_content(paths: Sequence[str]) -> list[list[int]]:
    """Return the positions of files with equal content, grouped by content. Only files of equal size are read."""
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
    """Return a dict from files of ``second`` that are also in ``first`` to these files in ``first``.

    Args:
        contents: True: compare contents. False: compare only the paths after resolving links.
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
    """Return the names of the files in a folder. Only links cost a query each."""
    try:
        with os.scandir(folder or ".") as found:
            return {item.name for item in found if _is_file(item)}
    except OSError:
        return set()


def _is_file(item: os.DirEntry) -> bool:
    try:
        return item.is_file()
    except OSError:  # a link to itself
        return False
