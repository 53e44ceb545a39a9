"""Read CIFAR-10 and CIFAR-100 from a local copy of the Python version (Krizhevsky, 2009)."""

import os
from typing import Any

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.data.images.lookup import describe_near, near_files
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few, reason, shown
from seesaw_d2.utils.plain_pickles import load_plain_pickle
from seesaw_d2.utils.regular_files import open_regular

# Files of CIFAR-10 (first line) and CIFAR-100 (second line). Each key is the name under which the pickled data files
# store the labels. Each value contains the training files, the test files, the file with the class names, and the name
# under which this file stores the class names.
_LAYOUTS = {
    "labels": ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], "batches.meta", "label_names"),
    "fine_labels": (["train"], ["test"], "meta", "fine_label_names"),
}


def read_cifar(folder: str, split: str) -> LabelledSet:
    """Read CIFAR-10, or CIFAR-100 with its 100 fine labels, from an extracted archive.

    Args:
        folder: folder ``cifar-10-batches-py`` or ``cifar-100-python``, extracted from the published archive.
        split: "train" for the 50,000 training images, or "test" for the 10,000 test images.

    Returns:
        the N images as a uint8 array (N, 32, 32, 3), with their labels and the class names.

    Raises:
        DataError: a file is missing or invalid, or the folder contains both datasets.
    """
    label_key = _label_key(folder)
    train, test, meta, names_key = _LAYOUTS[label_key]
    names = _get(_load(folder, meta), names_key, folder, meta)
    if not isinstance(names, list):
        raise DataError(f"{os.path.join(folder, meta)}: expected a list of class names, found {shown(names)}")
    arrays, labels = [], []
    for name in train if split == "train" else test:
        images, classes = _batch(folder, name, label_key, len(names))
        arrays.append(images)
        labels.append(classes)
    return LabelledSet(np.concatenate(labels), tuple(map(str, names)), arrays=np.concatenate(arrays))


def _label_key(folder: str) -> str:
    """Return the key of the labels in the data files of a folder: "labels" (CIFAR-10) or "fine_labels" (CIFAR-100)."""
    found = [key for key, (*_, meta, _) in _LAYOUTS.items() if os.path.exists(os.path.join(folder, meta))]
    if len(found) == 1:
        return found[0]
    files = [os.path.join(folder, meta) for *_, meta, _ in _LAYOUTS.values()]
    raise DataError(
        f"{folder}: expected either the file {' or the file '.join(map(os.path.basename, files))}, found "
        f"{'both files' if found else 'neither file'}{'' if found else describe_near(near_files(files))}. Set CIFAR to "
        "the folder cifar-10-batches-py or cifar-100-python."
    )


def _batch(folder: str, name: str, label_key: str, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    content = _load(folder, name)
    data, labels = _get(content, "data", folder, name), _get(content, label_key, folder, name)
    path = os.path.join(folder, name)
    try:
        images = _integers(data, 255).astype(np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = _integers(labels, num_classes - 1).astype(np.int64)
    except ValueError as error:
        raise DataError(
            f"{path}: cannot convert the arrays to images of 3 x 32 x 32 bytes and labels from 0 to {num_classes - 1}: "
            f"{error}. The file may be damaged. Download the dataset again."
        ) from None
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: {label_key!r}: expected one label for each of the {len(images)} images in this file, found "
            f"labels of the shape {labels.shape}. Download the dataset again."
        )
    return images, labels


def _integers(values: Any, largest: int) -> np.ndarray:
    """Convert pixel values or labels to an array. Raise ValueError if a value is not an integer in [0, largest].

    The caller casts the array to an integer type. Without this check, the cast would truncate fractions, and large
    numbers would overflow.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() <= largest):
        raise ValueError(f"some values are not integers from 0 to {largest}")
    return array


def _load(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    try:
        with open_regular(path, "rb") as file:
            return load_plain_pickle(file)
    except OSError as error:
        raise DataError(
            f"{path}: cannot open this file of CIFAR's Python version ({error.strerror or error})"
            f"{describe_near(near_files([path]))}"
        ) from None
    except Exception as error:  # unpickling a damaged file can raise errors of many types
        raise DataError(
            f"{path}: cannot unpickle this file ({reason(error)}). Download CIFAR's Python version again."
        ) from None


def _get(content: Any, key: str, folder: str, name: str) -> Any:
    if not isinstance(content, dict) or key not in content:
        raise DataError(
            f"{os.path.join(folder, name)}: expected a dict with the key {key!r}, found "
            f"{f'the keys {first_few(map(shown, content))}' if isinstance(content, dict) else shown(content)}"
        )
    return content[key]
