"""Write the HTML report that compares image classifiers.

The report shows confusions, calibration, and the accuracy of many-shot, medium-shot and few-shot classes. The shots of
a class are its training images.
"""

import os
import reprlib
from collections.abc import Mapping
from typing import Any

from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.classification_evaluator import CALIBRATION_FILE, CONFUSION_FILE, PER_CLASS_FILE
from seesaw_d2.evaluation.evaluation_settings import tell_replaced_results
from seesaw_d2.report.architectures import architecture_differences
from seesaw_d2.report.charts import scatter
from seesaw_d2.report.rendering import check_page, render
from seesaw_d2.report.run_config import read_config
from seesaw_d2.report.setting_differences import config_differences, config_value
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.json_reading import load_json_object
from seesaw_d2.utils.text_tables import read_results_table

COLUMNS = ("overall", "many", "medium", "few", "ECE")
_MAX_CONFUSIONS = 20
_EXPECTED = "expected the results of an image classifier"


def shots_table(runs: Mapping[str, dict]) -> str:
    """Return a text table with one line per run.

    The columns are the overall, many-shot, medium-shot and few-shot accuracy, and the expected calibration error (ECE).
    All values are in percent.

    Args:
        runs: dict from the title of a run to the content of its results.json, a dict with the key "classification".
    """
    width = max(map(len, runs)) + 2
    lines = [" " * width + "".join(f"{column:>9}" for column in COLUMNS)]
    for title, results in runs.items():
        values = [results["classification"][column] for column in COLUMNS]
        lines.append(f"{title:<{width}}" + "".join(f"{'-':>9}" if v is None else f"{v:9.1f}" for v in values))
    return "\n".join(lines)


def write_classification_report(folders: Mapping[str, str], path: str) -> None:
    """Write an HTML page that compares image classifiers by accuracy, confusions of few-shot classes, and calibration.

    Args:
        folders: dict from the title of a run to the folder of its evaluation, ``OUTPUT_DIR/inference/<dataset>``.
        path: path of the HTML file. The file is self-contained.

    Raises:
        DataError: a file of an evaluation is missing or invalid.
        ConfigError: ``path`` exists and is not a report of this project.
    """
    check_page(path)
    runs = [{"name": title, **_read(folder)} for title, folder in folders.items()]
    evaluated = {title: tell_replaced_results(folder) for title, folder in folders.items()}
    classes = [_class_points(run) for run in runs]
    bins = [_calibration_points(run) for run in runs]
    names = [run["name"] for run in runs]
    configs = [_config(folder) for folder in folders.values()]
    thresholds = next(filter(None, map(_thresholds, configs)), ())
    page = render(
        "classification.html",
        title="Image classification by shots",
        headline=_headline(runs),
        differences=config_differences(configs),
        architectures=architecture_differences(configs),
        other_settings={title: found for title, found in evaluated.items() if found},
        columns=COLUMNS,
        runs=runs,
        thresholds=thresholds,
        confusions=[_confusions(run) for run in runs],
        limit=_MAX_CONFUSIONS,
        classes=scatter(
            "Accuracy of each class over its training images",
            classes,
            "training images",
            "accuracy, %",
            runs=names,
            guides=thresholds,
        ),
        calibration=scatter(
            "Accuracy over confidence", bins, "confidence", "accuracy", runs=names, log_x=False, diagonal=True
        ),
    )
    write_text(path, page)


def _headline(runs: list[dict[str, Any]]) -> str:
    """Return the accuracy of few-shot classes in the first and the last run as text, such as "few 20.1 → 25.3 %".

    Return "" if one of these accuracies is undefined.
    """
    values = [run["metrics"]["few"] for run in ([runs[0], runs[-1]] if len(runs) > 1 else runs)]
    if any(value is None or value != value for value in values):
        return ""
    return f"few {' → '.join(f'{value:.1f}' for value in values)} %"


def _read(folder: str) -> dict[str, Any]:
    """Read the result files of ``ClassificationEvaluator`` in a folder.

    Returns:
        a dict with "metrics" (dict from metric to percent), "shots_known" (True if the groups many, medium and few are
        known), and the rows of per_class.csv, confusion.csv and calibration.csv under the names of these files.

    Raises:
        DataError: a file is missing or invalid.
    """
    paths = {name: os.path.join(folder, name) for name in (PER_CLASS_FILE, CONFUSION_FILE, CALIBRATION_FILE)}
    per_class = read_results_table(paths[PER_CLASS_FILE], ("class", "shots"), (), ("train_images", "accuracy"))
    return {
        "metrics": _metrics(os.path.join(folder, "results.json")),
        "shots_known": any(row["shots"] for row in per_class),
        PER_CLASS_FILE: per_class,
        CONFUSION_FILE: read_results_table(paths[CONFUSION_FILE], ("class", "called"), ("images",)),
        CALIBRATION_FILE: read_results_table(paths[CALIBRATION_FILE], (), ("images",), ("confidence", "accuracy")),
    }


def _config(folder: str) -> dict[str, Any]:
    """Return the parsed config.yaml of the run whose evaluation is in ``folder``.

    ``folder`` has the path OUTPUT_DIR/inference/<dataset>. If the path is different, or if OUTPUT_DIR has no
    config.yaml, return {}.
    """
    inference, _ = os.path.split(os.path.abspath(folder))
    return read_config(os.path.dirname(inference))[1] if os.path.basename(inference) == "inference" else {}


def _thresholds(config: dict[str, Any]) -> tuple[float, ...]:
    """Return the value of DATASETS.FREQUENCY_THRESHOLDS in a parsed config, or () if it is missing or invalid."""
    values = config_value(config, "DATASETS.FREQUENCY_THRESHOLDS")
    valid = isinstance(values, list) and all(type(value) in (int, float) and 0 < value < 1e9 for value in values)
    return tuple(values) if valid else ()


def _metrics(path: str) -> dict[str, float | None]:
    found = load_json_object(path, _EXPECTED).get("classification")
    values = [found.get(name, "") for name in COLUMNS] if isinstance(found, dict) else [""]
    if not all(value is None or (type(value) in (int, float) and 0 <= value <= 100) for value in values):
        raise DataError(
            f'{path}: "classification": expected an object with {", ".join(COLUMNS)}, each from 0 to 100 or null, '
            f"found {reprlib.repr(found)}"
        )
    return found


def _class_points(run: dict[str, Any]) -> list[tuple[float, float, str]]:
    points = []
    for row in run[PER_CLASS_FILE]:
        if None not in (row["accuracy"], row["train_images"]):
            images, accuracy = float(row["train_images"]), float(row["accuracy"])
            points.append((images, accuracy, f"{row['class']}, {images:.0f} training images: {accuracy:.1f} %"))
    return points


def _calibration_points(run: dict[str, Any]) -> list[tuple[float, float, str, float]]:
    rows = run[CALIBRATION_FILE]
    total = sum(row["images"] for row in rows)
    return [
        (row["confidence"], row["accuracy"], f"{row['images']:.0f} images", 2 + 12 * (row["images"] / total) ** 0.5)
        for row in rows
        if row["images"] and None not in row.values()
    ]


def _confusions(run: dict[str, Any]) -> list[dict[str, str]]:
    """Return the confusions of few-shot classes, in descending order of the number of images.

    Each dict contains a row of confusion.csv, and the row of per_class.csv for the true class.

    Args:
        run: dict with the rows of both files, as returned by ``_read``.
    """
    per_class = {row["class"]: row for row in run[PER_CLASS_FILE]}
    rows = [{**per_class[row["class"]], **row} for row in run[CONFUSION_FILE] if row["class"] in per_class]
    return sorted((row for row in rows if row["shots"] == "few"), key=lambda row: -row["images"])
