"""What image classifiers do with each part of the tail, side by side, as one HTML file."""

import base64
import csv
import html
import io
import json
import os
from collections.abc import Mapping

from matplotlib.figure import Figure

from seesaw_d2.evaluation.classification_evaluator import CALIBRATION_FILE, CONFUSION_FILE, PER_CLASS_FILE
from seesaw_d2.utils.atomic_files import write_text

COLUMNS = ("overall", "many", "medium", "few", "ECE")
_MAX_CONFUSIONS = 20
_STYLE = "body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}"


def shots_table(runs: Mapping[str, dict]) -> str:
    """Accuracy by shots as text.

    Args:
        runs: title -> an evaluation's results, with "classification".
    """
    width = max(map(len, runs)) + 2
    lines = [" " * width + "".join(f"{column:>9}" for column in COLUMNS)]
    for title, results in runs.items():
        lines.append(f"{title:<{width}}" + "".join(f"{results['classification'][c]:9.1f}" for c in COLUMNS))
    return "\n".join(lines)


def write_classification_report(folders: Mapping[str, str], path: str) -> None:
    """Write a page: accuracy by shots, accuracy and images of each class, confusions of few-shot classes, calibration.

    Args:
        folders: title -> what an evaluation left, ``OUTPUT_DIR/inference/<data set>``.
        path: of the HTML file; it needs no other file.
    """
    runs = {title: _read(folder) for title, folder in folders.items()}
    parts = [
        "<h1>Image classification by shots</h1>",
        "<p>Top-1 accuracy in percent; many, medium and few are the means over the classes with so many training "
        "images. ECE: expected calibration error.</p>",
        _table(["", *COLUMNS], [[t, *(f"{run['metrics'][c]:.1f}" for c in COLUMNS)] for t, run in runs.items()]),
        "<h2>Classes</h2><p>From the most to the least frequent.</p>",
        _picture(_class_figure(runs)),
        "<h2>What few-shot classes are called</h2>",
        *(_confusions(title, run) for title, run in runs.items()),
        "<h2>Calibration</h2><p>Accuracy over confidence; the size of a point is its share of the images.</p>",
        _picture(_calibration_figure(runs)),
    ]
    body = "\n".join(parts)
    page = f"<!doctype html><meta charset=utf-8><title>Image classification</title><style>{_STYLE}</style>\n{body}\n"
    write_text(path, page)


def _read(folder: str) -> dict:
    with open(os.path.join(folder, "results.json")) as file:
        metrics = json.load(file)["classification"]
    tables = {}
    for name in (PER_CLASS_FILE, CONFUSION_FILE, CALIBRATION_FILE):
        with open(os.path.join(folder, name), newline="") as file:
            tables[name] = list(csv.DictReader(file))
    return {"metrics": metrics, **tables}


def _class_figure(runs) -> Figure:
    figure = Figure(figsize=(9, 3.2))
    axes = figure.subplots()
    for title, run in runs.items():
        rows = [row for row in run[PER_CLASS_FILE] if row["accuracy"]]
        rows.sort(key=lambda row: -int(row["train_images"] or 0))
        axes.plot([float(row["accuracy"]) for row in rows], marker="o" if len(rows) < 60 else "", label=title)
        if len(rows) < 60:
            axes.set_xticks(range(len(rows)), [f"{row['class']}\n{row['train_images']}" for row in rows])
    axes.set(xlabel="class, training images", ylabel="accuracy, %", ylim=(-3, 103))
    axes.legend()
    return figure


def _calibration_figure(runs) -> Figure:
    figure = Figure(figsize=(4.5, 4.2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    for title, run in runs.items():
        rows = [{key: float(value) for key, value in row.items()} for row in run[CALIBRATION_FILE]]
        total = sum(row["images"] for row in rows)
        rows = [row for row in rows if row["images"]]
        sizes = [10 + 400 * row["images"] / total for row in rows]
        points = [row["confidence"] for row in rows], [row["accuracy"] for row in rows]
        axes.scatter(*points, s=sizes, alpha=0.6, label=f"{title}: ECE {run['metrics']['ECE']:.1f} %")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.02, 1.02))
    axes.legend(markerscale=0.4)
    return figure


def _confusions(title: str, run) -> str:
    per_class = {row["class"]: row for row in run[PER_CLASS_FILE]}
    few = [row for row in run[CONFUSION_FILE] if per_class[row["class"]]["shots"] == "few"]
    few.sort(key=lambda row: -int(row["images"]))
    rows = [
        [row["class"], per_class[row["class"]]["train_images"], row["called"], row["images"]]
        for row in few[:_MAX_CONFUSIONS]
    ]
    more = f"<p>and {len(few) - len(rows)} more pairs</p>" if len(few) > len(rows) else ""
    table = _table(["class", "training images", "called", "test images"], rows) if rows else "<p>none</p>"
    return f"<h3>{html.escape(title)}</h3>{table}{more}"


def _table(header, rows) -> str:
    def line(tag, cells):
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line("th", header) + "".join(line("td", row) for row in rows) + "</table>"


def _picture(figure: Figure) -> str:
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return f'<img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'
