"""Read run folders (OUTPUT_DIR of a training run) that this project or plain Detectron2 has written."""

import contextlib
import glob
import json
import os
import re
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from seesaw_d2.errors import DataError, WeightsError
from seesaw_d2.report.run_config import read_config, run_datasets
from seesaw_d2.utils.category_names import Categories, entry_of
from seesaw_d2.utils.json_reading import load_json_object
from seesaw_d2.utils.regular_files import open_regular
from seesaw_d2.weights.safe_reading import as_checkpoint, read_weights_file

_RESULTS = "lvis_instances_results.json"
# Maps meta-architectures that are not detectors to advice on their results.
_OTHER_TASKS = {
    "ImageClassifier": "For a report, use seesaw_d2.report.write_classification_report (docs/image_classification.md)",
    "SemanticSegmentor": "The results of semantic segmentation are in results.json and semantic_per_class.csv",
}
_LARGEST = 1e30  # the charts ignore larger numbers, because they cannot draw them


@dataclass
class Run:
    """Content of a run folder (OUTPUT_DIR of a training run) for the report. C is the number of categories.

    Attributes:
        name: name of the run in the report.
        folder: path of the run folder.
        config, config_text: parsed content and text of config.yaml.
        results_file: path of the detections in LVIS's results format.
        curves: for each line of metrics.json, a dict from name to number, such as "iteration" and "total_loss".
        classification: content of classification.json, the accuracy with ground-truth boxes as proposals.
        weight_norms: L2 norm of each of the C rows of the classifier's weight.
        class_counts: C class counts that the loss, such as Seesaw Loss, accumulated in training.
        categories: class names that model_final.pth contains.
        environment: versions of the software, from log.txt.
        command: command line of the training, from log.txt.
        missing: dict from a section of the report to the reason why the run has no data for this section.
    """

    name: str
    folder: str
    config: dict[str, Any]
    config_text: str
    results_file: str
    curves: list[dict[str, float]] = field(default_factory=list)
    classification: dict[str, Any] | None = None
    weight_norms: list[float] | None = None
    class_counts: list[int] | None = None
    categories: Categories | None = None
    environment: str = ""
    command: str = ""
    missing: dict[str, str] = field(default_factory=dict)


def read_run(folder: str, num_classes: int, dataset: str, name: str | None = None) -> Run:
    """Read the config, the path of the results file, the training curves and the final weights of a run.

    Args:
        folder: OUTPUT_DIR of a training.
        num_classes: number C of categories of the dataset.
        dataset: name of the dataset on which the run was evaluated.
        name: name of the run. Default: name of the folder.

    Raises:
        DataError: the folder is missing, incomplete or damaged.
    """
    folder = os.path.normpath(folder)
    config_text, config = read_config(folder)
    run = Run(name or os.path.basename(folder), folder, config, config_text, find_results(folder, dataset))
    if not config_text:
        run.missing["config"] = "config.yaml is missing"
    _read_curves(run)
    _read_log(run)
    _read_classification(run)
    _read_weights(run, num_classes)
    return run


def check_detectors(folders: Iterable[str]) -> None:
    """Raise DataError if a run folder is missing, or its config.yaml selects a model that is not a detector."""
    for folder in folders:
        model = read_config(folder)[1].get("MODEL")
        name = model.get("META_ARCHITECTURE") if isinstance(model, dict) else None
        if isinstance(name, str) and name in _OTHER_TASKS:
            raise DataError(
                f"{folder}: MODEL.META_ARCHITECTURE: expected a detector, found {name}. {_OTHER_TASKS[name]}"
            )


def find_results(folder: str, dataset: str) -> str:
    """Return the path of the detections on a dataset, ``lvis_instances_results.json`` in a run folder.

    This project writes to ``inference/<dataset>``. Detectron2 writes to ``inference``, and each dataset in
    DATASETS.TEST replaces the file of the dataset before.

    Raises:
        DataError: both folders lack the file, or Detectron2's file belongs to another dataset.
    """
    places = [os.path.join(folder, "inference", dataset, _RESULTS), os.path.join(folder, "inference", _RESULTS)]
    if os.path.isfile(places[0]):
        return places[0]
    if os.path.isfile(places[1]):
        tested = run_datasets(folder).get("TEST")
        if tested and tested[-1] != dataset:
            raise DataError(
                f"{places[1]}: expected results of {dataset!r}, found results of {tested[-1]!r}, the last dataset in "
                "DATASETS.TEST of the run's config.yaml. Evaluate all runs on the same dataset, or set --dataset"
            )
        return places[1]
    others = sorted(glob.glob(os.path.join(glob.escape(folder), "inference", "*", _RESULTS)))
    if others:
        names = ", ".join(os.path.basename(os.path.dirname(path)) for path in others)
        raise DataError(
            f"{folder}: expected results of {dataset!r}, found results of {names}. Evaluate all runs on the same data "
            "set, or set --dataset"
        )
    raise DataError(
        f"{folder}: expected results of {dataset!r} in {' or '.join(places)}, found neither file. Evaluate the run "
        "first"
    )


def _read_curves(run: Run) -> None:
    path = os.path.join(run.folder, "metrics.json")
    try:
        with open_regular(path, "r", encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError, RecursionError):  # a killed run may leave an incomplete last line
                    run.curves.append(_numbers(json.loads(line)))
    except OSError:
        pass
    run.curves = [line for line in run.curves if {"iteration", "total_loss"} <= line.keys()]
    if not run.curves:
        run.missing["curves"] = "metrics.json is missing or contains no losses"


def _numbers(line: Any) -> dict[str, float]:
    """Return the numbers in a parsed line of metrics.json, a dict from name to number. Drop what charts cannot draw."""
    return {key: value for key, value in line.items() if _is_number(value)} if isinstance(line, dict) else {}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def _read_log(run: Run) -> None:
    try:
        with open_regular(os.path.join(run.folder, "log.txt"), encoding="utf-8", errors="replace") as file:
            text = file.read(200_000)
    except OSError:
        run.missing["environment"] = "log.txt is missing"
        return
    found = re.search(r"Environment info:\s*\n-+.*?\n(.*?)\n-+", text, flags=re.DOTALL)
    run.environment = found.group(1) if found else ""
    found = re.search(r"Command line arguments: (.*)", text)
    run.command = found.group(1) if found else ""


def _read_classification(run: Run) -> None:
    path = os.path.join(os.path.dirname(run.results_file), "classification.json")
    if not os.path.isfile(path):
        run.missing["classification"] = "TEST.CLASSIFICATION_ACCURACY was False"
        return
    run.classification = load_json_object(path, "expected classification.json of an evaluation")
    groups = run.classification.get("groups", {})
    if not isinstance(groups, dict) or not all(map(_is_group, groups.values())):
        raise DataError(
            f'{path}: "groups": expected the numbers "accuracy" and "background" for each group, found '
            f"{reprlib.repr(groups)}"
        )


def _is_group(group: Any) -> bool:
    if not isinstance(group, dict):
        return group is None
    numbers = [group.get(key) for key in ("accuracy", "background")]
    return all(number is None or _is_number(number) for number in numbers)


def _read_weights(run: Run, num_classes: int) -> None:
    path = os.path.join(run.folder, "model_final.pth")
    try:
        content = as_checkpoint(read_weights_file(path), path)
    except WeightsError:  # not raised, because other sections of the report need no weights
        reason = "model_final.pth " + ("cannot be read" if os.path.exists(path) else "is missing")
        run.missing["norms"] = run.missing["counts"] = reason
        return
    weights, run.categories = content["model"], entry_of(content, path)
    # A cascade has several classifiers. The report shows the classifier of the last stage.
    classifier = _last(weights, r"box_predictor(\.\d+)?\.cls_score\.weight$", num_classes)
    if classifier is not None and classifier.dim() > 1:
        run.weight_norms = classifier.float().flatten(1).norm(dim=1).tolist()
    else:
        run.missing["norms"] = "model_final.pth has no linear classifier with finite weights"
    counts = _last(weights, r"cls_loss\.class_counts$", num_classes)
    if counts is not None and counts.dim() == 1 and counts.min() >= 0:
        run.class_counts = counts.tolist()
    else:
        run.missing["counts"] = "the loss has no class counts"


def _last(weights: dict[str, torch.Tensor], name: str, num_classes: int) -> torch.Tensor | None:
    """Return the first ``num_classes`` rows of the last parameter whose name matches the regular expression ``name``.

    Return None if no parameter matches, or if this parameter has fewer rows, complex values, NaN or infinite values.
    """
    found = [value for key, value in weights.items() if re.search(name, key)]
    if not found or not found[-1].dim() or len(found[-1]) < num_classes or found[-1].is_complex():
        return None
    rows = found[-1][:num_classes]
    return rows if rows.isfinite().all() else None
