"""What goes through all records without looking at boxes and masks works on their outlines.

Records are a list of dataset dicts, or a sequence that makes each when it is asked for (``compiled.CompiledRecords``,
``Joined``), which has ``outline()`` and ``take(positions)``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seesaw_d2.data.columns import ObjectColumns, renumbered

Records = Sequence[dict[str, Any]]


def outline(records: Records) -> Records:
    """Records without boxes and with empty segmentations where making them costs time, else themselves."""
    return records.outline() if hasattr(records, "outline") else records


def take(records: Records, positions) -> Records:
    """Some of the records, by ascending positions, as a sequence of the same kind."""
    if hasattr(records, "take"):
        return records.take(np.asarray(positions, np.int64))
    return [records[position] for position in positions]


def kept(records: Records, chosen: Sequence[Any], among: Records) -> Records:
    """The records whose outlines were chosen ``among`` them, in their order."""
    wanted = set(map(id, chosen))
    return take(records, [position for position, entry in enumerate(among) if id(entry) in wanted])


def join(parts: Sequence[Records]) -> Records:
    """One sequence of several; a list where all of them are."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, list) for part in parts):
        return [record for part in parts for record in part]
    return Joined(parts)


def object_columns(records: Records) -> ObjectColumns:
    """Image (its position in ``records``), category and whether it is a crowd, of every object."""
    if hasattr(records, "object_columns"):
        return records.object_columns()
    rows = [
        (position, item["category_id"], bool(item.get("iscrowd", 0)))
        for position, record in enumerate(records)
        for item in record.get("annotations", ())
    ]
    image, category, crowd = np.array(rows, np.int64).reshape(-1, 3).T
    return image, category, crowd.astype(bool)


class Joined(Sequence):
    """Several sequences of records, one after the other.

    Args:
        parts: the sequences.
        positions: of the records in all of them; None: all.
    """

    def __init__(self, parts: Sequence[Records], positions: np.ndarray | None = None):
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self._positions = np.arange(self._ends[-1]) if positions is None else positions

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        position = int(self._positions[index])
        part = int(np.searchsorted(self._ends, position, side="right"))
        return self._parts[part][position - (int(self._ends[part - 1]) if part else 0)]

    def take(self, positions: np.ndarray) -> "Joined":
        """Some of the records, by their positions."""
        return Joined(self._parts, self._positions[positions])

    def object_columns(self) -> ObjectColumns:
        """See ``outlines.object_columns``."""
        starts = [0, *self._ends[:-1].tolist()]
        parts = [object_columns(part) for part in self._parts]
        images = np.concatenate([image + start for (image, _, _), start in zip(parts, starts, strict=True)])
        category, crowd = (np.concatenate([part[index] for part in parts]) for index in (1, 2))
        return renumbered((images, category, crowd), self._positions, int(self._ends[-1]))

    def outline(self) -> list[dict[str, Any]]:
        """See ``CompiledRecords``."""
        records = [record for part in self._parts for record in outline(part)]
        return [records[position] for position in self._positions.tolist()]
