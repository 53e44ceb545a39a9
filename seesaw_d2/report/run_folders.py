"""Reading of run folders, of this project or of plain Detectron2."""

import contextlib
import glob
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

import torch
import yaml

from seesaw_d2.errors import DataError, WeightsError
from seesaw_d2.utils.category_names import Categories, entry_of
from seesaw_d2.utils.json_reading import load_json_object
from seesaw_d2.utils.messages import shown
from seesaw_d2.utils.regular_files import open_regular
from seesaw_d2.utils.yaml_reading import read_yaml_file
from seesaw_d2.weights.safe_reading import as_checkpoint, read_weights_file

_RESULTS = "lvis_instances_results.json"
_LARGEST = 1e30  # of a number that is drawn


class _NamesAsText(yaml.SafeLoader):
    """YAML loader of configs written by Detectron2 that constructs no Python objects.

    Detectron2 writes tuples and, in LazyConfigs, classes, functions and objects with Python's YAML tags. Tuples are
    loaded as lists, the others as their names.
    """


_PYTHON = "tag:yaml.org,2002:python/"
_NamesAsText.add_constructor(f"{_PYTHON}tuple", lambda loader, node: loader.construct_sequence(node, deep=True))
# Config values are never dates.
_NamesAsText.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
for _tag in ("name:", "object:", "object/new:"):
    _NamesAsText.add_multi_constructor(_PYTHON + _tag, lambda loader, name, node: name)


@dataclass
class Run:
    """Contents of a run folder. ``missing``: section of the report -> reason why the run has no data for it."""

    name: str
    folder: str
    config: dict[str, Any]
    config_text: str
    results_file: str
    curves: list[dict[str, float]] = field(default_factory=list)
    classification: dict[str, Any] | None = None
    # (C,) norms of the classifier's rows, (C,) class counts accumulated by the loss
    weight_norms: list[float] | None = None
    class_counts: list[int] | None = None
    # in model_final.pth
    categories: Categories | None = None
    environment: str = ""
    command: str = ""
    missing: dict[str, str] = field(default_factory=dict)


def read_run(folder: str, num_classes: int, dataset: str, name: str | None = None) -> Run:
    """Read a run folder.

    Args:
        folder: OUTPUT_DIR of a training.
        num_classes: C.
        dataset: data set of the results.
        name: name of the run. Default: name of the folder.

    Raises:
        DataError: the folder is missing, has no results file, or belongs to semantic segmentation.
    """
    folder = os.path.normpath(folder)
    config_text, config = read_config(folder)
    model = config.get("MODEL")
    if isinstance(model, dict) and model.get("META_ARCHITECTURE") == "SemanticSegmentor":
        raise DataError(
            f"{folder}: MODEL.META_ARCHITECTURE: expected a detector or an ImageClassifier, found SemanticSegmentor; "
            "its results are in results.json and semantic_per_class.csv"
        )
    run = Run(name or os.path.basename(folder), folder, config, config_text, find_results(folder, dataset))
    if not config_text:
        run.missing["config"] = "config.yaml is missing"
    _read_curves(run)
    _read_log(run)
    _read_classification(run)
    _read_weights(run, num_classes)
    return run


def read_config(folder: str) -> tuple[str, dict[str, Any]]:
    """Return text and content of a run's config.yaml. Both are empty if there is no such file.

    Raises:
        DataError: the folder is missing, or the file is not YAML of plain values.
    """
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: expected a run folder (OUTPUT_DIR of a training), found none")
    path = os.path.join(folder, "config.yaml")
    if not os.path.exists(path):
        return "", {}
    text, config = read_yaml_file(path, _NamesAsText, DataError)
    config = {} if config is None else config
    if not isinstance(config, dict):
        raise DataError(f"{path}: expected a mapping of config keys, found {type(config).__name__}")
    return text, config


def run_datasets(folder: str) -> dict[str, Any]:
    """Return the keys below DATASETS in config.yaml of a run that name data sets.

    Raises:
        DataError: one of them has another type.
    """
    path = os.path.join(folder, "config.yaml")
    names = {"REGISTER": (dict, "mappings"), "TRAIN": (str, "names"), "TEST": (str, "names")}
    kinds = {**names, "FREQUENCY_THRESHOLDS": ((int, float), "numbers")}
    found = read_config(folder)[1].get("DATASETS") or {}
    for key, (kind, plural) in kinds.items():
        values = found.get(key, []) if isinstance(found, dict) else None
        if not isinstance(values, list) or not all(isinstance(each, kind) for each in values):
            raise DataError(f"{path}: DATASETS.{key}: expected a list of {plural}, found {str(values)[:80]!r}")
    return {key: found[key] for key in kinds if key in found}


def find_results(folder: str, dataset: str) -> str:
    """Return the results file of a data set, in the folder of this project or of Detectron2."""
    places = [os.path.join(folder, "inference", dataset, _RESULTS), os.path.join(folder, "inference", _RESULTS)]
    for path in places:
        if os.path.isfile(path):
            return path
    others = sorted(glob.glob(os.path.join(glob.escape(folder), "inference", "*", _RESULTS)))
    if others:
        names = ", ".join(os.path.basename(os.path.dirname(path)) for path in others)
        raise DataError(
            f"{folder}: expected results of {dataset!r}, found results of {names}; all runs need the same data set"
        )
    raise DataError(
        f"{folder}: expected results of {dataset!r}, found neither of {', '.join(places)}; evaluate the run first"
    )


def _read_curves(run: Run) -> None:
    path = os.path.join(run.folder, "metrics.json")
    try:
        with open_regular(path, "r", encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError, RecursionError):  # an incomplete last line of a killed run
                    run.curves.append(_numbers(json.loads(line)))
    except OSError:
        pass
    run.curves = [line for line in run.curves if {"iteration", "total_loss"} <= line.keys()]
    if not run.curves:
        run.missing["curves"] = "metrics.json is missing or has no losses"


def _numbers(line: Any) -> dict[str, float]:
    """Return the entries that can be drawn."""
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
        raise DataError(f'{path}: "groups": expected objects with numbers, found {shown(groups)}')


def _is_group(group: Any) -> bool:
    if not isinstance(group, dict):
        return group is None
    numbers = [group.get(key) for key in ("accuracy", "background")]
    return all(number is None or _is_number(number) for number in numbers)


def _read_weights(run: Run, num_classes: int) -> None:
    path = os.path.join(run.folder, "model_final.pth")
    try:
        content = as_checkpoint(read_weights_file(path), path)
    except WeightsError:  # the other sections do not need the weights
        reason = "model_final.pth " + ("cannot be read" if os.path.exists(path) else "is missing")
        run.missing["norms"] = run.missing["counts"] = reason
        return
    weights, run.categories = content["model"], entry_of(content, path)
    # For a cascade: norms and counts of the last stage.
    classifier = _last(weights, r"box_predictor(\.\d+)?\.cls_score\.weight$", num_classes)
    if classifier is not None and classifier.dim() > 1:
        run.weight_norms = classifier.float().flatten(1).norm(dim=1).tolist()
    else:
        run.missing["norms"] = "the model has no linear classifier with finite weights"
    counts = _last(weights, r"cls_loss\.class_counts$", num_classes)
    if counts is not None and counts.dim() == 1 and counts.min() >= 0:
        run.class_counts = counts.tolist()
    else:
        run.missing["counts"] = "its loss has no class counts"


def _last(weights: dict[str, torch.Tensor], name: str, num_classes: int) -> torch.Tensor | None:
    """Return the rows of classes of the last parameter with this name, or None if it has other values."""
    found = [value for key, value in weights.items() if re.search(name, key)]
    if not found or not found[-1].dim() or len(found[-1]) < num_classes or found[-1].is_complex():
        return None
    rows = found[-1][:num_classes]
    return rows if rows.isfinite().all() else None
