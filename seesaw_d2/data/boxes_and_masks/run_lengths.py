"""Check run-length masks, because pycocotools decodes invalid masks without an error."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Maximum number of base-32 digits of a run length. A number with more digits exceeds 2^34 pixels.
_DIGITS = 7


def is_run_length_mask(value: Any, size: list[int]) -> bool:
    """Return whether a parsed JSON value is a valid run-length mask of an image.

    A valid mask is a JSON object with ``size`` and ``counts``. The counts are run lengths >= 0 whose sum is the number
    of pixels, either as a list of integers or as COCO's compressed string.

    Args:
        value: parsed JSON value.
        size: height and width of the image in pixels.
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
    """Decode COCO's compressed string. Return the run lengths as an int64 array, or None if the string is invalid.

    The string encodes integers in digits of 5 bits, lowest digit first (``rleFrString`` in pycocotools' maskApi.c). The
    character code of a digit is 48 + digit. If another digit of the same integer follows, 32 is added to the code. The
    integer is negative if the highest bit of its last digit, 16, is set. The first three integers are run lengths. Each
    later integer is the difference between a run length and the run length two positions before.
    """
    # Also test isascii(), because encode() replaces characters that are not ASCII by "?", which is a valid digit.
    decoded = _integers(counts.encode("ascii", "replace")) if counts.isascii() else None
    if decoded is None:
        return None
    runs, _ = decoded
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def count_pixels(counts: Sequence[bytes]) -> np.ndarray:
    """Sum the run lengths in each of N > 0 compressed strings. Return the sums (N,) int64, -1 for an invalid string."""
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    decoded, last = _integers(b"".join(counts)), np.cumsum(lengths) - 1
    # In valid strings, the last character is the last digit of an integer.
    if not lengths.all() or decoded is None or not np.isin(last, decoded[1]).all():
        each = [decompress(text.decode("ascii", "replace")) for text in counts]
        return np.array([-1 if runs is None else runs.sum() for runs in each], np.int64)
    values, ends = decoded
    stops = np.searchsorted(ends, last) + 1
    sizes = np.diff(stops, prepend=0)
    positions = np.arange(len(values)) - np.repeat(stops - sizes, sizes)
    # The integer at a position > 0 is a summand of the run length at this position, and of every second later one.
    shares = np.where(positions, (np.repeat(sizes, sizes) - positions + 1) // 2, 1)
    return np.add.reduceat(values * shares, stops - sizes)


def _integers(text: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Decode the integers in a compressed string. ``decompress`` describes the code.

    Return the integers, and the position of the last digit of each integer. Return None if the string is invalid.
    """
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - starts + 1
    if digits.max() > _DIGITS:  # smaller integers cannot overflow the sums of run lengths
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, digits))
    values = np.add.reduceat((codes & 31) << shifts, starts)
    values -= np.where(codes[ends] & 16, 1 << (5 * digits), 0)
    return values, ends
