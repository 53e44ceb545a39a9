"""Detect whether a run is finished, and whether its config or weights have changed since, for ``compare.py``."""

import functools
import hashlib
import re
from pathlib import Path

from comparison_rows import fail

ROOT = Path(__file__).resolve().parent.parent
# File in each run folder that stores the config of the row: all keys, with the values before the training resolves
# them.
SAVED = "row_config.yaml"
# File in the run folder of a row with "after" that stores the SHA-256 of the weights from which the training started.
SOURCE = "row_source.txt"
# Keys that may change, because their values belong to a run, a machine or a release.
_OF_RUN = ("OUTPUT_DIR", "SEED", "MODEL.DEVICE", "VERSION")
# If SOLVER.EPOCHS, REFERENCE_BATCH_SIZE or REFERENCE_WORLD_SIZE is set, a training replaces the values of these keys
# before it writes config.yaml.
_RESOLVED = tuple(f"SOLVER.{name}" for name in ("MAX_ITER", "BASE_LR", "IMS_PER_BATCH", "REFERENCE_BATCH_SIZE"))
# A training can replace the values of these keys with any config.
_ALWAYS_RESOLVED = ("SOLVER.STEPS", *(f"MODEL.ROI_BOX_HEAD.CLS_LOSS.{loss}.START_ITER" for loss in ("LDAM", "PCB")))


def config_of(row: dict) -> str | None:
    """Return the config of a row as YAML text, or None if the project does not contain the config file.

    Raises:
        ConfigError: the config or an override is invalid.
    """
    return _config_of(row["config"], tuple(row["overrides"])) if (ROOT / row["config"]).is_file() else None


@functools.cache
def _config_of(file: str, overrides: tuple[str, ...]) -> str:
    from seesaw_d2.config.loading import load_config

    return load_config(str(ROOT / file), overrides).dump()


def check_unchanged(row: dict, folder: Path, config: str) -> None:
    """Raise ConfigError if the config of a row has changed since the run in the folder, so that a table would mix both.

    The file row_config.yaml contains the config of the run. Earlier versions did not write this file. For their runs,
    this function reads config.yaml, in which a training has replaced some values, such as SOLVER.STEPS.

    Args:
        row: row of the comparison, a dict that describes a model.
        folder: folder of the run.
        config: present config of the row as YAML text.
    """
    from seesaw_d2.config.differences import describe, differences, flat_config

    path = next((path for path in (folder / SAVED, folder / "config.yaml") if path.is_file()), None)
    if path is None:
        return
    before, now = flat_config(path.read_text(errors="replace"), str(path)), flat_config(config, row["config"])
    ignored = _OF_RUN
    if path.name != SAVED:
        ignored += _ALWAYS_RESOLVED + ("MODEL.WEIGHTS",) * ("after" in row)
        resolves = ("EPOCHS", "REFERENCE_BATCH_SIZE", "REFERENCE_WORLD_SIZE")
        ignored += _RESOLVED * any(now.get(f"SOLVER.{name}") not in ("0", "0.0") for name in resolves)
    found = differences(before, now, ignored)
    # Ignore keys that a later version of the project has added. Do not ignore elements that were added to a list. Their
    # keys contain a number, such as "DATASETS.REGISTER.0.NAME".
    found = {key: pair for key, pair in found.items() if key in before or re.search(r"\.\d+(\.|$)", key)}
    if found:
        first = describe(dict(list(found.items())[:5])) + (f"; … ({len(found)} keys in all)" if len(found) > 5 else "")
        fail(
            f"{folder}: {row['config']}, the config of row {row['name']!r}, has changed since this run: {first}. To "
            "train again, remove this folder."
        )


def check_distinct(rows: list[dict]) -> None:
    """Raise ConfigError if two rows have the same config, so that they would be the same model with two names.

    Rows with "after" are only compared with rows that start from the same row. Rows with "convert" are not compared.
    """
    from seesaw_d2.config.differences import flat_config, within

    seen: dict[tuple, str] = {}
    for row in rows:
        text = None if "convert" in row else config_of(row)
        if text is None:
            continue
        values = flat_config(text, row["config"]).items()
        key = (row.get("after"), *(pair for pair in values if not within(pair[0], _OF_RUN)))
        if key in seen:
            fail(
                "command line: expected overrides with which all rows differ, found the same config in the rows "
                f"{seen[key]!r} and {row['name']!r}"
            )
        seen[key] = row["name"]


def check_source(row: dict, folder: Path, weights: Path) -> None:
    """Raise ConfigError if a run started from other weights than ``weights``.

    If the run has no checkpoint yet, write the hash of ``weights`` to the file row_source.txt. Folders of earlier
    versions lack this file, and are not checked.

    Args:
        row: row of the comparison with the key "after", the name of the row from whose weights it starts.
        folder: folder of the run.
        weights: file with the final weights of the row "after", from a run with the same seed.
    """
    from seesaw_d2.utils.atomic_files import write_text
    from seesaw_d2.utils.own_files import check_no_link

    path = folder / SOURCE
    check_no_link(path, "--output")
    if not path.is_file() and list(folder.glob("model_*.pth")):
        return
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if path.is_file() and path.read_text(errors="replace") != found:
        fail(
            f"{path}: {weights}, the weights of row {row['after']!r}, have changed since row {row['name']!r} started "
            "from these weights. To train again, remove this folder."
        )
    write_text(path, found)


def is_finished(folder: Path) -> bool:
    """Return whether a run folder contains the final weights, and results that do not belong to earlier weights."""
    from seesaw_d2.evaluation.evaluation_settings import read_settings

    records = [read_settings(str(path.parent)) for path in folder.glob("inference/*/results.json")]
    return (folder / "model_final.pth").exists() and records != [] and not any("SOLVER.MAX_ITER" in r for r in records)
