"""CIFAR-10 and CIFAR-100 from a local copy of their Python version (Krizhevsky, 2009)."""

import os
import pickle
from typing import Any

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.errors import DataError

# By the label's key in the files: training files, test files, file of names and the key in it.
_LAYOUTS = {
    "labels": ([f"data_batch_{i}" for i in range(1, 6)], ["test_batch"], "batches.meta", "label_names"),
    "fine_labels": (["train"], ["test"], "meta", "fine_label_names"),
}
# All that a file of arrays in plain containers needs.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


def read_cifar(folder: str, split: str) -> LabelledSet:
    """Images (N, 32, 32, 3) of a folder ``cifar-10-batches-py`` or ``cifar-100-python`` (fine labels).

    Args:
        folder: as unpacked from the published archive.
        split: "train" or "test".

    Raises:
        DataError: a file is missing, torn or of another layout.
    """
    label_key = "labels" if os.path.exists(os.path.join(folder, "batches.meta")) else "fine_labels"
    train, test, meta, names_key = _LAYOUTS[label_key]
    names = _get(_load(folder, meta), names_key, folder, meta)
    arrays, labels = [], []
    for name in train if split == "train" else test:
        content = _load(folder, name)
        data = np.asarray(_get(content, "data", folder, name), dtype=np.uint8)
        arrays.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(np.asarray(_get(content, label_key, folder, name), dtype=np.int64))
    return LabelledSet(np.concatenate(labels), tuple(map(str, names)), arrays=np.concatenate(arrays))


class _PlainUnpickler(pickle.Unpickler):
    """Arrays and plain containers only: a pickle can otherwise run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"holds {module}.{name}")
        return super().find_class(module, name)


def _load(folder: str, name: str) -> dict[str, Any]:
    path = os.path.join(folder, name)
    try:
        with open(path, "rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise DataError(
            f"{path}: expected a file of CIFAR's Python version (cifar-10-batches-py or cifar-100-python): "
            f"{error.strerror or error}"
        ) from None
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a file of CIFAR's Python version: {error}") from None


def _get(content: Any, key: str, folder: str, name: str) -> Any:
    if not isinstance(content, dict) or key not in content:
        raise DataError(f"{os.path.join(folder, name)}: expected CIFAR's Python version with {key!r}, found none")
    return content[key]
