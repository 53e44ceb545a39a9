"""Checks of run-length masks, which pycocotools reads without checks."""

from typing import Any

import numpy as np


def is_run_length_mask(value: Any, size: list[int]) -> bool:
    """Return whether a parsed JSON value is a valid run-length mask of an image.

    Args:
        value: a parsed JSON value. A valid mask is an object with ``size`` and ``counts``. The counts are a list of
            integers or COCO's compressed string, with runs >= 0 whose sum is the number of pixels.
        size: height and width of the image.
    """
    if type(value) is not dict or type(value.get("size")) is not list:
        return False
    if value["size"] != size or not set(map(type, value["size"])) <= {int}:
        return False
    counts = value.get("counts")
    if type(counts) is str:
        runs = decompress(counts)
        return runs is not None and runs.min() >= 0 and int(runs.sum()) == size[0] * size[1]
    if type(counts) is not list or not set(map(type, counts)) <= {int}:
        return False
    return sum(counts) == size[0] * size[1] and min(counts) >= 0


def decompress(counts: str) -> np.ndarray | None:
    """Return the runs (int64) in COCO's compressed string (``rleFrString`` in maskApi.c), or None if it is invalid.

    Numbers consist of digits of 5 bits, lowest first. A digit is the character with code 48 + digit, + 32 if another
    digit follows. Bit 16 of the last digit is the sign. From the fourth number on, the string contains differences to
    the second to last number.
    """
    codes = np.frombuffer(counts.encode("ascii", "replace"), dtype=np.uint8).astype(np.int64) - 48
    # Non-ASCII characters become "?", which is a digit.
    if not counts.isascii() or not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - starts + 1
    if digits.max() > 7:  # 2^34 pixels: larger than any image, and sums cannot overflow below
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, digits))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, 1 << (5 * digits), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
