"""The headline of the detection report, and the settings in which the compared runs differ."""

from collections.abc import Sequence
from typing import Any

from seesaw_d2.report.run_folders import Run

# Keys of schedule, data and evaluation. If these differ, the runs differ not only in the method.
_COMPARED = (
    "DATASETS.TRAIN",
    "DATASETS.TEST",
    "INPUT.MIN_SIZE_TRAIN",
    "INPUT.MAX_SIZE_TRAIN",
    "INPUT.MIN_SIZE_TEST",
    "INPUT.MAX_SIZE_TEST",
    "MODEL.BACKBONE.NAME",
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
    "TEST.AUG.ENABLED",
    "TEST.DETECTIONS_PER_IMAGE",
)


def headline(runs: Sequence[Run], evaluated: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the main result: ``text``, such as "rare 41.9 → 52.0 AP", and its description, ``note``.

    The result is mask AP if all runs have it, else box AP, of rare categories if defined, else of all.
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
    """Return (key, value of each run) for the keys of schedule, data and evaluation that differ between the runs."""
    found = []
    for key in _COMPARED:
        values = [_value(run.config, key) for run in runs]
        known = [value for value in values if value is not None]
        if any(value != known[0] for value in known):
            found.append((key, ["unknown" if value is None else str(value) for value in values]))
    tasks = [str(entry["description"].get("IoU types", "unknown")) for entry in evaluated]
    if len(set(tasks)) > 1:
        found.append(("evaluated IoU types", tasks))
    return found


def _value(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return list(value) if isinstance(value, (list, tuple)) else value
