"""Read labelled images from a file of NumPy arrays.

Shapes: N is the number of images, and C is the number of classes.
"""

import zipfile
from collections import Counter
from typing import Any

import numpy as np

from seesaw_d2.data.classification.labelled import LabelledSet
from seesaw_d2.errors import DataError
from seesaw_d2.utils.archives import check_unpacked_size
from seesaw_d2.utils.messages import first_few, shortened
from seesaw_d2.utils.regular_files import irregular, open_regular

KEYS = ("images", "labels", "names")


def read_arrays(path: str) -> LabelledSet:
    """Read labelled images from a file that ``numpy.savez`` or ``numpy.savez_compressed`` wrote.

    The file contains three arrays for N images and C classes:

    - ``images``: uint8, (N, H, W) for grayscale images or (N, H, W, 3) for RGB images.
    - ``labels``: integers in [0, C), (N,). The class indices of the images.
    - ``names``: unique strings, (C,). The class names.

    Args:
        path: path of the file.

    Raises:
        DataError: the file cannot be read, an array is missing or invalid, or an array contains Python objects. Python
            objects are not allowed, because unpickling could run code.
    """
    arrays = _load(path)
    images, labels, names = (arrays[key] for key in KEYS)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)) or 0 in images.shape:
        raise DataError(
            f'{path}: "images": expected uint8 of the shape (images, height, width) or (images, height, width, 3), '
            f"found {images.dtype} of the shape {images.shape}"
        )
    if names.dtype.kind != "U" or names.ndim != 1 or not len(names):
        raise DataError(
            f'{path}: "names": expected a list with one string per class, found {names.dtype} of the shape '
            f"{names.shape}"
        )
    if len(set(names.tolist())) < len(names):
        twice = sorted(name for name, count in Counter(names.tolist()).items() if count > 1)
        raise DataError(f'{path}: "names": expected unique class names, found repeated names: {first_few(twice)}')
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise DataError(
            f'{path}: "labels": expected one integer for each of the {len(images)} images, found {labels.dtype} of '
            f"the shape {labels.shape}"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        raise DataError(
            f'{path}: "labels": expected integers from 0 to {len(names) - 1}, found {labels[wrong[0]]} at index '
            f"{wrong[0]}. {len(wrong)} of {len(labels)} labels are outside this range."
        )
    if images.ndim == 3:
        # Repeat the gray values in three channels. broadcast_to returns a view, which needs no additional memory.
        images = np.broadcast_to(images[..., None], (*images.shape, 3))
    return LabelledSet(labels.astype(np.int64), tuple(names.tolist()), arrays=images)


def _load(path: str) -> dict[str, Any]:
    if irregular(path):
        raise DataError(f"{path}: expected a file of NumPy arrays, found {irregular(path)}")
    try:
        with open_regular(path, "rb") as opened:
            if not zipfile.is_zipfile(opened):
                raise DataError(
                    f"{path}: this file is not an archive of numpy.savez. Write the file with numpy.savez and the "
                    f"arrays {', '.join(KEYS)}."
                )
            with zipfile.ZipFile(opened) as archive:
                check_unpacked_size(archive, path)
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                missing = [key for key in KEYS if key not in file.files]
                if missing:
                    raise DataError(
                        f"{path}: expected the arrays {', '.join(KEYS)}, found "
                        f"{f'only the arrays {first_few(file.files)}' if file.files else 'an empty archive'}"
                    )
                return {key: file[key] for key in KEYS}
    except DataError:
        raise
    except Exception as error:  # NumPy and zipfile raise errors of many types for damaged archives
        reason = shortened(f"{type(error).__name__}: {error}")
        raise DataError(f"{path}: cannot read this archive of numpy.savez ({reason})") from None
