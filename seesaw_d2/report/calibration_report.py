"""Write the HTML report of ``calibrate``, which corrects the class scores of a trained detector without training.

The report shows metrics with and without calibration, and AP for each value of the calibration's parameter.
"""

from typing import Any

from seesaw_d2.report.charts import lines
from seesaw_d2.report.rendering import check_page, render
from seesaw_d2.utils.atomic_files import write_text

_SHOWN = ("AP", "APr", "APc", "APf")


def calibration_rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the report's table: first the model without calibration, then one row for each calibration.

    Args:
        result: the dict that ``calibrate`` returns.

    Returns:
        a list of dicts with these keys:

        - "name": name of the calibration, or "none" for the model without calibration.
        - "value": name of the parameter and its chosen values, as text. "" without calibration.
        - "metrics": box metrics on the test set.
        - "masks": mask metrics on the test set, or None if masks were not evaluated.
    """
    rows = [{"name": "none", "value": "", "metrics": result["before"]}]
    for name, metrics in result["after"].items():
        chosen = result["chosen"][name]
        values = ", ".join(dict.fromkeys(f"{value:g}" for value in chosen))
        rows.append({"name": name, "value": f"{result['parameters'][name]} {values}", "metrics": metrics})
    return [{**row, "masks": result["masks"].get(row["name"])} for row in rows]


def calibration_table(result: dict[str, Any], task: str = "metrics") -> str:
    """Return a text table of AP on the test set, without calibration and with each calibration.

    Each column shows two values, such as AP / AP_fixed. AP_fixed limits the detections of each category instead of
    those of each image.

    Args:
        result: the dict that ``calibrate`` returns.
        task: "metrics" for boxes, "masks" for masks.
    """
    rows = calibration_rows(result)
    names = [f"{row['name']} {row['value']}".strip() for row in rows]
    width = max(map(len, names)) + 2
    text = [" " * width + "".join(f"{name + ' / fixed':>16}" for name in _SHOWN)]
    for name, row in zip(names, rows, strict=True):
        pairs = [f"{_cell(row[task][key])} / {_cell(row[task][key + '_fixed'])}" for key in _SHOWN]
        text.append(f"{name:<{width}}" + "".join(f"{pair:>16}" for pair in pairs))
    return "\n".join(text)


def _cell(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.1f}"


def write_calibration_report(result: dict[str, Any], path: str) -> None:
    """Write the HTML report of a calibration, which corrects the class scores of a trained detector.

    Args:
        result: the dict that ``calibrate`` returns.
        path: path of the HTML file.

    Raises:
        ConfigError: ``path`` exists and is not a report of this project.
    """
    check_page(path)
    figures = {
        name: lines(
            f"{result['metric']} over the parameter of {name}",
            [
                [(value, metrics[key]) for value, metrics in curve if metrics[key] == metrics[key]]
                for key in (result["metric"], "APr", "AP_fixed")
            ],
            result["parameters"][name],
            "AP",
            runs=[result["metric"], "APr", "AP_fixed"],
        )
        for name, curve in result["curves"].items()
        if name in result["after"]
    }
    page = render(
        "calibration.html",
        title="Calibration without training",
        result=result,
        rows=calibration_rows(result),
        columns=[name + suffix for suffix in ("", "_fixed") for name in _SHOWN],
        figures=figures,
        drawn=[result["metric"], "APr", "AP_fixed"],
    )
    write_text(path, page)
