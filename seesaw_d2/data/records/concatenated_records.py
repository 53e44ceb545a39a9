"""Concatenate the dataset dicts of several datasets into one sequence, without creating the dicts."""

from collections.abc import Iterator, Sequence

import numpy as np

from seesaw_d2.data.records.records import ObjectColumns, Records, file_names, image_column, objects_of, take


def join(parts: Sequence[Records]) -> Records:
    """Concatenate sequences of dataset dicts. Return a list if all sequences are lists, and a ``Joined`` otherwise."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, list) for part in parts):
        return [record for part in parts for record in part]
    return Joined(parts)


class Joined(Sequence):
    """Concatenation of several sequences of dataset dicts, which are not copied.

    Args:
        parts: the sequences to concatenate.
    """

    def __init__(self, parts: Sequence[Records]):
        self._parts = list(parts)
        # Index in the concatenation at which each sequence starts, followed by the total length.
        self._starts = np.cumsum([0, *map(len, self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        position = range(len(self))[index]
        part = self._part(position)
        return self._parts[part][position - int(self._starts[part])]

    def take(self, positions: np.ndarray) -> "Joined":
        """Return the dataset dicts at ``positions``, an integer array of indices into this sequence."""
        part = self._part(positions)
        borders = np.flatnonzero(np.diff(part)) + 1
        pieces = zip(np.split(positions - self._starts[part], borders), np.split(part, borders), strict=True)
        return Joined([take(self._parts[of[0]], own) for own, of in pieces if len(own)])

    def _part(self, position):
        """Return which of the concatenated sequences contains ``position``. Arrays of positions are also accepted."""
        return np.searchsorted(self._starts[1:], position, side="right")

    def file_names(self) -> Iterator[str | None]:
        """Yield the path of each image file, or None for a dataset dict without "file_name"."""
        return (name for part in self._parts for name in file_names(part))

    def image_column(self, name: str) -> np.ndarray:
        """Return the value of ``name`` ("image_id", "height" or "width") in all dataset dicts as an array."""
        return np.concatenate([np.zeros(0, np.int64), *(image_column(part, name) for part in self._parts)])

    def objects_of(self) -> ObjectColumns:
        """Return arrays with the image, category, crowd flag and kind of mask of all objects."""
        objects = [objects_of(part) for part in ([], *self._parts)]
        starts = [0, *self._starts.tolist()]
        moved = [each._replace(image=each.image + start) for each, start in zip(objects, starts, strict=False)]
        return ObjectColumns(*map(np.concatenate, zip(*moved, strict=True)))
