"""Read labelled images from a folder with one subfolder per class."""

import logging
import os
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.data.classification.labels import plain
from seesaw_d2.data.images.lookup import files_below
from seesaw_d2.data.images.scanning import FolderScan, describe_passed_over, scan_folder
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few, warn_once

logger = logging.getLogger(__name__)

# Matches the usual names of folders that contain one split of a dataset, such as "train", "val2017", "test_set" and
# "fold1". A subfolder with such a name is probably not a class.
_SPLIT = re.compile(
    r"(images?[-_ ])?(train(ing|val)?|val(id(ation)?)?|test(ing)?|dev|eval|fold(?=[-_ ]?\d))"
    r"([-_ ]?(set|images?|data|split))?[-_ ]?\d*",
    re.IGNORECASE,
)


def read_folder(path: str, names: Sequence[str] | None) -> LabelledSet:
    """Read labelled images from a folder with one subfolder per class.

    The name of a subfolder is the label of all images in this subfolder and its own subfolders. A warning lists the
    skipped files and folders, such as hidden files and files that are not images.

    Args:
        path: path of the folder.
        names: class names in the order of their indices. Each subfolder must have the name of a class. If None, the
            classes are the sorted names of all subfolders.

    Raises:
        DataError: a folder cannot be read, the folder has no subfolders, a subfolder has a name that is not a class
            name, or the subfolders are splits such as train and val instead of classes.
    """
    top = files_below(path, recursive=False)
    # Sort again without "/" at the end, as torchvision's ImageFolder does. With "/", "cat 2/" is before "cat/".
    found = sorted(name.removesuffix("/") for name in top.other if name.endswith("/"))
    if not found:
        raise DataError(
            f"{path}: expected a subfolder for each class, found no subfolders. Set FOLDER to the folder that contains "
            "the folders of the classes."
        )
    known = set(names or ())
    if unknown := [name for name in found if name not in known]:
        _check_splits(path, unknown)
    if names is None:
        _look_at_numbers(path, found)
    names = found if names is None else names
    index_of = {name: index for index, name in enumerate(names)}
    _check_known(path, found, names)
    passed_over = defaultdict(
        list, {"not in a class's folder": [*top.files, *(p for p in top.other if not p.endswith("/"))]}
    )
    passed_over["hidden"] += top.hidden
    files, labels, mixed = [], [], []
    for name in found:
        scan = _scan(os.path.join(path, name))
        files += [os.path.join(path, name, image) for image in scan.images]
        labels += [index_of[name]] * len(scan.images)
        inner = {image.split("/")[0] for image in scan.images if "/" in image}
        mixed += sorted(f"{name}/{each}" for each in inner if _SPLIT.fullmatch(each))
        for reason, entries in scan.passed_over.items():
            passed_over[reason] += [f"{name}/{entry}" for entry in entries]
    if mixed:
        _look_at_inner_splits(path, mixed, single=names is found and len(found) == 1)
    described = describe_passed_over({reason: entries for reason, entries in passed_over.items() if entries})
    if described:
        warn_once(logger, f"{path}: skipped files and folders: {described}")
    return LabelledSet(np.array(labels, dtype=np.int64), tuple(names), files=files)


def _check_splits(path: str, found: Sequence[str]) -> None:
    """Report subfolders that seem to be splits, such as train and val, although each subfolder should be a class.

    A subfolder seems to be a split if it has the name of a split and contains further folders. If several or all of the
    subfolders seem to be splits, raise DataError. Log a warning if a single subfolder seems to be a split, or if all
    subfolders have names of splits but contain no folders.

    Args:
        path: path of the folder.
        found: names of the subfolders. Names that the config key CLASSES lists are left out, because these are classes.
    """
    splits = [name for name in found if _SPLIT.fullmatch(name)]
    above = [name for name in splits if _has_folders(os.path.join(path, name))]
    if len(above) > 1 or above == found:
        raise DataError(
            f"{path}: expected a subfolder for each class, found subfolders with the names of splits that contain "
            f"further folders: {first_few(above)}. Set FOLDER to one split, such as {os.path.join(path, above[0])}."
        )
    if above or splits == found:
        warn_once(
            logger,
            f"{path}: some subfolders, which count as classes, have the names of splits: {first_few(splits)}. If they "
            "are splits, set FOLDER to one of them.",
        )


def _look_at_numbers(path: str, found: Sequence[str]) -> None:
    """Log a warning if the names of all classes are numbers that are not in numerical order, such as 10 before 2.

    The class index of such a folder differs from the index that its name probably means.

    Args:
        path: path of the dataset's folder, for the message.
        found: names of the subfolders in the order of their class indices.
    """
    if not all(name.isascii() and name.isdigit() for name in found) or list(found) == sorted(found, key=int):
        return
    index = next(index for index, name in enumerate(sorted(found, key=int)) if name != found[index])
    warn_once(
        logger,
        f"{path}: the names of all classes are numbers, but the order of classes is alphabetical, as in torchvision's "
        f"ImageFolder: class {index} is {found[index]!r}. If the names are class indices, set CLASSES to the number of "
        "classes.",
    )


def _look_at_inner_splits(path: str, inner: Sequence[str], *, single: bool) -> None:
    """Report folders with names of splits inside the folders of classes, such as cat/train.

    If the dataset has a single class, raise DataError, because this "class" is probably a folder of splits. If it has
    several classes, log a warning, because the images of all splits are used.

    Args:
        path: path of the dataset's folder, for messages.
        inner: paths of the folders with names of splits, relative to ``path``.
        single: True if the dataset has a single class.
    """
    if single:
        raise DataError(
            f"{path}: expected a subfolder for each class, found one subfolder that contains splits: "
            f"{first_few(inner)}. Set FOLDER to one split, such as {os.path.join(path, inner[0])}."
        )
    warn_once(
        logger,
        f"{path}: the folders of classes contain folders with the names of splits: {first_few(inner)}. The dataset "
        f"contains the images of all these splits. To use only one split, move the others out of {path}.",
    )


def _has_folders(folder: str) -> bool:
    try:
        return any(name.endswith("/") for name in files_below(folder, recursive=False).other)
    except OSError:
        return False


def _scan(folder: str) -> FolderScan:
    try:
        scan = scan_folder(folder)
    except OSError as error:
        raise DataError(f"{folder}: cannot list this folder ({error.strerror or error})") from None
    unreadable = scan.passed_over.get("folders that cannot be read")
    if unreadable:
        raise DataError(f"{folder}: cannot read {len(unreadable)} subfolders: {first_few(unreadable)}")
    return scan


def _check_known(path: str, found: Sequence[str], names: Sequence[str]) -> None:
    known = set(names)
    unknown = [name for name in found if name not in known]
    if not unknown:
        return
    like = [f"{name!r} ({other!r})" for name in unknown for other in names if plain(name) == plain(other)]
    hint = f". Names that differ from a class only in case, spaces or Unicode form: {first_few(like)}" if like else ""
    raise DataError(
        f"{path}: expected subfolders with the names of the {len(names)} classes, found {len(unknown)} of {len(found)} "
        f"subfolders with other names: {first_few(unknown)}{hint}. Rename these subfolders or correct CLASSES."
    )
