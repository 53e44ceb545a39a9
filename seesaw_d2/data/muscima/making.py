"""Create the folder of a MUSCIMA++ data set, unless a data set with the same settings exists."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from seesaw_d2.data.muscima.settings import CropSettings, TileSettings
from seesaw_d2.data.muscima.source import Source
from seesaw_d2.errors import DataError
from seesaw_d2.utils.atomic_folders import FolderLayout, atomic_folder, read_record
from seesaw_d2.utils.messages import first_few

LAYOUT = FolderLayout(
    record="muscima.json",
    kind="a data set made of MUSCIMA++",
    contents={"counts": {"": {"": 0}}, "notes": [""]},
    files=re.compile(r"muscima\.json|(train|test)\.(json|npz)|images/(train|test)/w\d{2,}_p\d{2,}_\d{4,}_\d{4,}\.png"),
)
Contents = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Prepared:
    """Result of ``make_once``.

    Attributes:
        root: folder of the data set.
        made: if True, the call created the data set. If False, the data set existed before.
        counts: dict from part, "train" or "test", to a dict of numbers such as ``{"pages": 28}``.
        notes: descriptions of omitted symbols, one line each.
    """

    root: Path
    made: bool
    counts: Contents
    notes: list[str] = field(default_factory=list)


def make_once(
    root: Path, settings: dict, fill: Callable[[Path], tuple[Contents, list[str]]], overwrite: bool
) -> Prepared:
    """Create a data set, or return the summary of an existing data set with the same settings.

    Args:
        root: folder of the data set.
        settings: all settings that determine the content of the data set, the result of ``settings_record``.
        fill: function that writes the data set to a given folder. The function returns ``counts`` and ``notes`` of
            ``Prepared``.
        overwrite: whether to replace a data set with other settings.

    Raises:
        DataError: the folder contains files other than a data set made of MUSCIMA++, or the folder contains a data set
            with other settings and ``overwrite`` is False.
    """
    found = read_record(root, LAYOUT)
    if found is not None and found["settings"] == settings:
        return Prepared(root, False, **found["contents"])
    if found is not None and not overwrite:
        before = found["settings"]
        differences = [
            f"{key} is {before.get(key)!r} instead of {value!r}"
            for key, value in settings.items()
            if before.get(key) != value
        ]
        raise DataError(
            f"--output {root}: expected a data set with the requested settings, found a data set with these "
            f"differences: {first_few(differences)}. Use --overwrite to replace the data set."
        )
    with atomic_folder(root, LAYOUT) as folder:
        counts, notes = fill(folder)
        record = {"settings": settings, "contents": {"counts": counts, "notes": notes}}
        (folder / LAYOUT.record).write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    return Prepared(root, True, counts, notes)


def settings_record(kind: str, settings: TileSettings | CropSettings, source: Source) -> dict:
    """Return all settings that determine the content of a data set, as JSON values.

    Args:
        kind: "tiles" or "crops".
        settings: settings of the tiles or crops.
        source: pages and page images of MUSCIMA++.
    """
    record = {"kind": kind, "annotations": source.digest, "pictures": source.pictures, **asdict(settings)}
    return orjson.loads(orjson.dumps(record))
