"""Write the folder of a data set made from MUSCIMA++ atomically, with a record of its settings."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from seesaw_d2.data.muscima.settings import CropSettings, TileSettings
from seesaw_d2.data.muscima.source import Source
from seesaw_d2.data.synthetic.folder import Layout, read_record, whole_folder
from seesaw_d2.errors import DataError
from seesaw_d2.utils.messages import first_few

LAYOUT = Layout(
    record="muscima.json",
    kind="a data set made of MUSCIMA++",
    contents={"counts": {"": {"": 0}}, "notes": [""]},
    files=re.compile(r"muscima\.json|(train|test)\.(json|npz)|images/(train|test)/w\d{2,}_p\d{2,}_\d{4,}_\d{4,}\.png"),
)
Contents = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Prepared:
    """Description of the created or existing data set.

    Attributes:
        root: the folder.
        made: True: created now. False: it existed already.
        counts: split -> name of a count -> value.
        notes: descriptions of omitted items, one line each.
    """

    root: Path
    made: bool
    counts: Contents
    notes: list[str] = field(default_factory=list)


def make_once(
    root: Path, settings: dict, fill: Callable[[Path], tuple[Contents, list[str]]], overwrite: bool
) -> Prepared:
    """Create a data set unless it exists.

    Args:
        root: the folder.
        settings: all settings that define the content, after a round trip through JSON.
        fill: function that writes to the folder in its argument and returns counts and notes.
        overwrite: whether to replace a data set made with other settings.

    Raises:
        DataError: the folder has other content, or a data set with other settings and ``overwrite`` is False.
    """
    found = read_record(root, LAYOUT)
    if found is not None and found["settings"] == settings:
        return Prepared(root, False, **found["contents"])
    if found is not None and not overwrite:
        names = [key for key in settings if found["settings"].get(key) != settings[key]]
        raise DataError(
            f"--output {root}: expected a data set made with these settings, found one with other {first_few(names)}; "
            "--overwrite replaces it"
        )
    with whole_folder(root, LAYOUT) as folder:
        counts, notes = fill(folder)
        record = {"settings": settings, "contents": {"counts": counts, "notes": notes}}
        (folder / LAYOUT.record).write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    return Prepared(root, True, counts, notes)


def settings_record(kind: str, settings: TileSettings | CropSettings, source: Source) -> dict:
    """Return the settings of a data set after a round trip through JSON."""
    record = {"kind": kind, "annotations": source.digest, "pictures": source.pictures, **asdict(settings)}
    return orjson.loads(orjson.dumps(record))
