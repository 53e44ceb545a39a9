"""Create the folder of a converted MUSCIMA++ dataset, unless it already exists with the same settings."""

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
    kind="a dataset made of MUSCIMA++",
    contents={"counts": {"": {"": 0}}, "notes": [""]},
    files=re.compile(r"muscima\.json|(train|test)\.(json|npz)|images/(train|test)/w\d{2,}_p\d{2,}_\d{4,}_\d{4,}\.png"),
)
Contents = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Prepared:
    """Summary of a converted MUSCIMA++ dataset, for display to the user.

    Attributes:
        root: folder of the dataset.
        made: True if the dataset was created now. False if it existed before.
        counts: sizes of the training and test data. The keys are "train" and "test". An example of a value is
            ``{"pages": 28, "crops": 18000}``.
        notes: messages about symbols that the dataset omits, one line each.
    """

    root: Path
    made: bool
    counts: Contents
    notes: list[str] = field(default_factory=list)


def make_once(
    root: Path, settings: dict, fill: Callable[[Path], tuple[Contents, list[str]]], overwrite: bool
) -> Prepared:
    """Create a dataset. If the folder contains a dataset with the same settings, only return its summary.

    Args:
        root: folder of the dataset.
        settings: all settings that determine the content of the dataset, as JSON values.
        fill: function that writes the files of the dataset to a given folder. It returns the counts and the notes of
            the summary (see ``Prepared``).
        overwrite: if True, replace a dataset with other settings.

    Raises:
        DataError: the folder contains files other than a dataset made of MUSCIMA++, or the folder contains a dataset
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
            f"--output {root}: expected a dataset with the requested settings, found a dataset with these "
            f"differences: {first_few(differences)}. Use --overwrite to replace the dataset."
        )
    with atomic_folder(root, LAYOUT) as folder:
        counts, notes = fill(folder)
        record = {"settings": settings, "contents": {"counts": counts, "notes": notes}}
        (folder / LAYOUT.record).write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    return Prepared(root, True, counts, notes)


def settings_record(kind: str, settings: TileSettings | CropSettings, source: Source) -> dict:
    """Return all settings that determine the content of a dataset, as JSON values.

    These settings are saved with the dataset. If they change, the dataset must be created again.

    Args:
        kind: "tiles" for a detection dataset or "crops" for a classification dataset.
        settings: settings of the tiles or crops.
        source: pages and page images of MUSCIMA++. The settings contain a hash of its annotation files.
    """
    record = {"kind": kind, "annotations": source.digest, "pictures": source.pictures, **asdict(settings)}
    return orjson.loads(orjson.dumps(record))
