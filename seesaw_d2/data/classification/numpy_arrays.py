"""Labelled images in one file of NumPy arrays.

Shapes: N images, C classes.
"""

import zipfile
from typing import Any

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.errors import DataError
from seesaw_d2.utils.archives import check_unpacked_size
from seesaw_d2.utils.messages import first_few, shortened
from seesaw_d2.utils.regular_files import irregular, open_regular

KEYS = ("images", "labels", "names")


def read_arrays(path: str) -> LabelledSet:
    """Read the images of a file written by ``numpy.savez`` or ``numpy.savez_compressed``.

    Args:
        path: the file, with ``images``, uint8 (N, H, W) or (N, H, W, 3), ``labels``, integers (N,) in [0, C), and
            ``names``, strings (C,).

    Raises:
        DataError: the file cannot be read, or an array is missing or has another type or shape. Pickled objects are
            rejected.
    """
    arrays = _load(path)
    images, labels, names = (arrays[key] for key in KEYS)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)) or 0 in images.shape:
        raise DataError(
            f"{path}: images: expected uint8 of shape (N, H, W) or (N, H, W, 3), found {images.dtype} {images.shape}"
        )
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) < max(len(names), 1):
        raise DataError(f"{path}: names: expected (C,) different strings, found {names.dtype} {names.shape}")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: labels: expected an integer for each of {len(images)} images, found {labels.dtype} {labels.shape}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        found = f"{labels[wrong[0]]} at {first_few(wrong)}"
        raise DataError(f"{path}: labels: expected integers in [0, {len(names) - 1}], found {found}")
    if images.ndim == 3:
        images = np.broadcast_to(
            images[..., None], (*images.shape, 3)
        )  # a view, so that grey images need no additional memory
    return LabelledSet(labels.astype(np.int64), tuple(names.tolist()), arrays=images)


def _load(path: str) -> dict[str, Any]:
    if irregular(path):
        raise DataError(f"{path}: expected a file of NumPy arrays, found {irregular(path)}")
    try:
        with open_regular(path, "rb") as opened:
            if not zipfile.is_zipfile(opened):
                raise DataError(
                    f"{path}: expected a file of the arrays {', '.join(KEYS)} (numpy.savez), found another format"
                )
            with zipfile.ZipFile(opened) as archive:
                check_unpacked_size(archive, path)
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                missing = [key for key in KEYS if key not in file.files]
                if missing:
                    raise DataError(f"{path}: expected arrays {', '.join(KEYS)}, found no {missing[0]}")
                return {key: file[key] for key in KEYS}
    except DataError:
        raise
    except Exception as error:  # a damaged archive raises many types
        reason = shortened(f"{type(error).__name__}: {error}")
        raise DataError(f"{path}: expected a file of NumPy arrays (numpy.savez): {reason}") from None
