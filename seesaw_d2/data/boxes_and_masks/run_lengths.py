"""Check and decode masks in COCO's run-length encoding. pycocotools accepts invalid masks without an error."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Maximum number of base-32 digits of an integer in a compressed mask. A mask with a longer integer is invalid, because
# the integer exceeds 2^34 pixels, and sums of such run lengths could overflow.
_DIGITS = 7
_PART = 10_000  # ``count_pixels`` decodes at most this number of masks at once, to limit the memory


def valid_masks(values: Sequence[Any], sizes: Sequence[list[int]]) -> np.ndarray:
    """Test whether each of N values is a valid run-length mask of its image.

    A valid mask is a dict with ``size``, which is the [height, width] of the image, and ``counts``. The counts are run
    lengths >= 0 whose sum is the number of pixels, either as a list of integers or as COCO's compressed string.

    Args:
        values: N values of the field "segmentation", as parsed from JSON.
        sizes: [height, width] of the image of each value in pixels.

    Returns:
        a bool array (N,), True for each valid mask.
    """
    valid, compressed = np.zeros(len(values), dtype=bool), []
    for index, (value, size) in enumerate(zip(values, sizes, strict=True)):
        if type(value) is not dict or value.get("size") != size or not set(map(type, value["size"])) <= {int}:
            continue
        counts = value.get("counts")
        if type(counts) is str and counts.isascii() and counts:
            compressed.append(index)
        elif type(counts) is list and set(map(type, counts)) <= {int}:
            valid[index] = sum(counts) == size[0] * size[1] and min(counts) >= 0
    found = count_pixels([values[index]["counts"].encode() for index in compressed])
    valid[compressed] = found == np.array([sizes[index][0] * sizes[index][1] for index in compressed], dtype=np.int64)
    return valid


def decompress(counts: str) -> np.ndarray | None:
    """Decode the compressed string ("counts") of a run-length mask in COCO format.

    The string encodes integers in digits of 5 bits, lowest digit first (``rleFrString`` in pycocotools' maskApi.c). The
    character code of a digit is 48 + digit. If another digit of the same integer follows, 32 is added to the code. The
    integer is negative if the highest bit of its last digit, 16, is set. The first three integers are run lengths. Each
    later integer is the difference between a run length and the run length two positions before.

    Returns:
        the run lengths as an int64 array, or None if the string is invalid.
    """
    # Do not decode a string with characters other than ASCII. encode() would replace such a character by "?", which is
    # a valid digit.
    decoded = _integers(counts.encode("ascii", "replace")) if counts.isascii() else None
    if decoded is None:
        return None
    runs, _ = decoded
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def count_pixels(counts: Sequence[bytes]) -> np.ndarray:
    """Sum the run lengths of each of N compressed run-length masks in COCO format.

    In a valid mask, this sum is the number of pixels of the image (height x width).

    Args:
        counts: the compressed string ("counts") of each mask.

    Returns:
        the sums (N,), int64. The sum is -1 if a string is invalid or contains a negative run length.
    """
    parts = [_count_part(counts[start : start + _PART]) for start in range(0, len(counts), _PART)]
    return np.concatenate(parts or [np.zeros(0, np.int64)])


def _count_part(counts: Sequence[bytes]) -> np.ndarray:
    """Sum the run lengths of each compressed mask. Return -1 for invalid masks and negative run lengths.

    All strings are joined and decoded at once, which is much faster than one by one. The caller limits their number to
    ``_PART``, which bounds the memory.
    """
    lengths = np.fromiter(map(len, counts), np.int64, len(counts))
    decoded, last = _integers(b"".join(counts)), np.cumsum(lengths) - 1
    # Decoding the joined strings gives wrong integers if a string is empty, is invalid or ends within an integer. In
    # this case, decode each string separately.
    if not lengths.all() or decoded is None or not np.isin(last, decoded[1]).all():
        each = [decompress(text.decode("ascii", "replace")) for text in counts]
        return np.array([-1 if runs is None or runs.min() < 0 else runs.sum() for runs in each], np.int64)
    runs, ends = decoded
    stops = np.searchsorted(ends, last) + 1
    sizes = np.diff(stops, prepend=0)
    starts = stops - sizes
    positions = np.arange(len(runs)) - np.repeat(starts, sizes)
    # From the fourth integer on, each mask stores differences to the run length two positions before. Cumulative sums
    # convert the differences to run lengths, first at the positions 1, 3, 5, ... and then at 2, 4, 6, ... of each mask.
    for first in (1, 2):
        chosen = (positions >= first) & (positions % 2 == first % 2)
        differences, is_first = runs[chosen], positions[chosen] == first
        sums = np.cumsum(differences)
        before = (sums - differences)[is_first]
        runs[chosen] = sums - before[np.cumsum(is_first) - 1]
    return np.where(np.minimum.reduceat(runs, starts) < 0, -1, np.add.reduceat(runs, starts))


def _integers(text: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Decode the integers in a compressed run-length string of COCO. ``decompress`` describes the encoding.

    Returns:
        the integers, and the index of the last character of each integer in ``text``. None if the string is invalid.
    """
    codes = np.frombuffer(text, dtype=np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = ends - starts + 1
    if digits.max() > _DIGITS:  # invalid, because sums of integers with more digits could overflow int64
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, digits))
    values = np.add.reduceat((codes & 31) << shifts, starts)
    values -= np.where(codes[ends] & 16, 1 << (5 * digits), 0)
    return values, ends
