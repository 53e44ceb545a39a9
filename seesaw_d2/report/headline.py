"""Compose the headline of the detection report."""

from collections.abc import Sequence
from typing import Any

from seesaw_d2.report.run_folders import Run


def headline(runs: Sequence[Run], evaluated: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the main result of the report as text: the AP of the first run and of the last run.

    The AP is mask AP if all runs have mask AP, otherwise box AP. It is averaged over the rare categories or, if AP of
    rare categories is undefined, over all categories.

    Returns:
        a dict with "text", such as "rare 41.9 → 52.0 AP", and "note", an explanation of the text. Both values are "" if
        no AP is defined.
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
