"""Compose the headline of the detection report, and list the settings in which the compared runs differ."""

from collections.abc import Iterable, Sequence
from typing import Any

from seesaw_d2.report.run_folders import Run

# Config keys that need equal values in all runs for a fair comparison of methods.
_COMPARED = (
    "DATASETS.REGISTER",
    "DATASETS.TRAIN",
    "DATASETS.TEST",
    "INPUT.MIN_SIZE_TRAIN",
    "INPUT.MAX_SIZE_TRAIN",
    "INPUT.MIN_SIZE_TEST",
    "INPUT.MAX_SIZE_TEST",
    "MODEL.WEIGHTS",
    "MODEL.ROI_HEADS.NMS_THRESH_TEST",
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "SOLVER.BASE_LR",
    "SOLVER.EPOCHS",
    "SOLVER.GAMMA",
    "SOLVER.IMS_PER_BATCH",
    "SOLVER.LR_SCHEDULER_NAME",
    "SOLVER.MAX_ITER",
    "SOLVER.STEPS",
    "SOLVER.WARMUP_ITERS",
    "TEST.AUG.ENABLED",
    "TEST.DETECTIONS_PER_IMAGE",
)


def headline(runs: Sequence[Run], evaluated: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the main result of the report: AP of the first run and AP of the last run.

    The AP is computed from masks if all runs have masks, and from boxes if not. The main result is AP of rare
    categories if it is defined, and AP of all categories if not.

    Returns:
        a dict with "text", such as "rare 41.9 → 52.0 AP", and "note", which explains the text. Both are "" if no AP is
        defined.
    """
    task = "segm" if all("segm" in entry["metrics"] for entry in evaluated) else "bbox"
    found = [entry["metrics"].get(task, {}) for entry in (evaluated[0], evaluated[-1])][: len(evaluated)]
    parts = {}
    for metric, word in (("APr", "rare"), ("AP", "all")):
        values = [metrics.get(metric) for metrics in found]
        if all(value is not None and value == value for value in values):
            parts[word] = f"{word} {' → '.join(f'{value:.1f}' for value in values)} AP"
    if not parts:
        return {"text": "", "note": ""}
    text, *others = parts.values()
    words = {"segm": "masks", "bbox": "boxes"}[task]
    names = f": {runs[0].name} → {runs[-1].name}" if len(runs) > 1 else ""
    return {"text": text, "note": "; ".join([f"AP of {words}, in percent{names}", *others])}


def setting_differences(runs: Sequence[Run], evaluated: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the config keys and the IoU types in which the runs differ, each with its value in each run."""
    found = config_differences([run.config for run in runs])
    tasks = [str(entry["description"].get("IoU types", "unknown")) for entry in evaluated]
    return found + [("evaluated IoU types", tasks)] * (len(set(tasks)) > 1)


def config_differences(configs: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the keys in ``_COMPARED`` whose values differ between configs, each with its value in each config."""
    return differing(
        (key, [_used_entries(one) if key == "DATASETS.REGISTER" else config_value(one, key) for one in configs])
        for key in _COMPARED
    )


def differing(found: Iterable[tuple[str, list[Any]]]) -> list[tuple[str, list[str]]]:
    """Return the keys whose known values differ, with the values as text. The value None means unknown."""
    differences = []
    for key, values in found:
        known = [value for value in values if value is not None]
        if any(value != known[0] for value in known):
            differences.append((key, ["unknown" if value is None else str(value) for value in values]))
    return differences


def config_value(config: dict[str, Any], key: str) -> Any:
    """Return the value of a config key with dots, or None if the config does not have the key."""
    value: Any = config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return list(value) if isinstance(value, (list, tuple)) else value


def _used_entries(config: dict[str, Any]) -> list[Any] | None:
    """Return the entries of DATASETS.REGISTER that the run trains or tests on, or None if no such entry exists."""
    train, test, entries = (config_value(config, f"DATASETS.{key}") for key in ("TRAIN", "TEST", "REGISTER"))
    if not isinstance(entries, list):
        return None
    names = [name for each in (train, test) if isinstance(each, list) for name in each]
    used = [each for each in entries if isinstance(each, dict) and each.get("NAME") in names]
    return sorted(used, key=lambda each: str(each["NAME"])) or None
