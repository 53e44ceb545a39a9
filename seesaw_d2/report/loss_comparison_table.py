"""Format the result of ``choose_loss``, a comparison of losses, as text.

A method is a loss with values of its parameters, together with a linear or a normalized classifier.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def comparison_table(result: Mapping[str, Any]) -> str:
    """Return a comparison of methods as text. A method is a loss with values of its parameters, and a classifier.

    The text contains the ranking of the methods, whether the best method is clearly better than the second, the metrics
    on test images, and the config of the best method.

    Args:
        result: the dict that ``choose_loss`` returns.
    """
    best = result["ranking"][0]
    lines = [
        f"Held-out training images, mean ± standard deviation over {result['options']['seeds']} seeds:",
        *_table(result["ranking"], result["metric"]),
        *_undefined(result["ranking"]),
        "",
        *_certainty(result),
        *_calibration(result),
        "",
        "Test images:",
        *_table(_with_calibrated(result["test"])),
        "",
        f"config     {_words(best['config'])}",
        f"results    {result['output']}/choose_loss.json",
    ]
    lines += [f"left out   {name}: {reason}" for name, reason in result["refused"].items()]
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]], calibrated: str = "") -> list[str]:
    """Return the lines of a text table with one row per method (loss and classifier).

    Args:
        rows: for each method, a dict with "name", "metrics" (dict from metric to its values for all seeds) and
            "calibrated" (metrics with the best calibration of the scores, or None).
        calibrated: metric that an additional column shows with the best calibration of each method. "": no such column.
    """
    names = list(rows[0]["metrics"])
    width = max(len(row["name"]) for row in rows)
    calibrated = calibrated if any(row.get("calibrated") for row in rows) else ""
    lines = [
        " " * width + "".join(f"{name:>14}" for name in names) + (f"    calibrated: {calibrated}" if calibrated else "")
    ]
    for row in rows:
        line = f"{row['name']:<{width}}" + "".join(f"{_spread(row['metrics'][name]):>14}" for name in names)
        found = row.get("calibrated")
        if calibrated:
            line += f"{_spread(found['metrics'][calibrated]):>14} {found['label']}" if found else f"{'-':>14}"
        lines.append(line)
    return lines


def _undefined(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each metric that is undefined (None) for some seeds, but not for all.

    The line tells readers that the table shows the mean over the other seeds.

    Args:
        rows: for each method, a dict with "metrics", a dict from metric to its values for all seeds.
    """
    lines = []
    for name, values in rows[0]["metrics"].items():
        count = max(row["metrics"][name].count(None) for row in rows)
        if 0 < count < len(values):
            lines.append(
                f"{name} is undefined for {count} of {len(values)} seeds, because their images contain no objects of "
                f"the categories that {name} averages over. The table shows the mean over the other seeds."
            )
    return lines


def _with_calibrated(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a copy of the table rows, with an additional row for the metrics of each method after calibration.

    ``rows`` are dicts with "name", "metrics" and "calibrated" (label and metrics of the best calibration, or None). The
    additional row follows the row of its method. If the label is "none", no calibration is better, and no row is added.
    """
    found: list[Mapping[str, Any]] = []
    for row in rows:
        calibrated = row["calibrated"]
        found.append({**row, "calibrated": None})
        if calibrated and calibrated["label"] != "none":
            found.append({"name": f"  with {calibrated['label']}", "metrics": calibrated["metrics"]})
    return found


def _calibration(result: Mapping[str, Any]) -> list[str]:
    """Return a line about the method that is best after calibration, and with one seed a line about this choice.

    ``result`` is the dict that ``choose_loss`` returns. If no calibration was evaluated, return [].
    """
    rows = [row for row in result["ranking"] if row["calibrated"]]
    if not rows:
        return []
    best = max(rows, key=lambda row: np.mean([value or 0 for value in row["calibrated"]["metrics"][result["metric"]]]))
    found = best["calibrated"]
    words = _words({**best["config"], **found["config"]})
    lines = [
        f"After calibration {best['name']} is best: {result['metric']} {_spread(found['metrics'][result['metric']])} "
        f"with {found['label']}. Its config: {words}"
    ]
    if result["options"]["seeds"] == 1:
        lines.append(
            "With one seed, each calibration was chosen on the same images, so its held-out values are too high. More "
            "--seeds give fair values."
        )
    return lines


def _certainty(result: Mapping[str, Any]) -> list[str]:
    found = result["difference"]
    if found is None:
        return ["Only one method was trained, so there is no comparison."]
    first, second = result["ranking"][:2]
    if not found["count"]:
        return [f"{result['metric']} of {second['name']} is undefined for all seeds, so there is no comparison."]
    deviation = "" if found["deviation"] is None else f" ± {found['deviation']:.1f}"
    text = (
        f"{result['metric']} of {first['name']} minus {second['name']}: {found['mean']:+.1f}{deviation} over seeds, "
        f"positive for {found['wins']} of {found['count']} seeds."
    )
    said = f"{first['name']} is better." if found["clear"] else "These seeds do not show which of the two is better."
    return [text, said]


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{np.mean(known):.1f}"
    return mean if len(known) < 2 else f"{mean} ± {np.std(known, ddof=1):.1f}"


def _words(config: Mapping[str, Any]) -> str:
    return " ".join(f"{key} {_word(value)}" for key, value in config.items())


def _word(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text
