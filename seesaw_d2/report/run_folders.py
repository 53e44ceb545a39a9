"""What a run folder holds, of this project's training or of a plain Detectron2 one; what is missing is said."""

import glob
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from seesaw_d2.data.records.json_files import load_json_object
from seesaw_d2.errors import DataError, WeightsError
from seesaw_d2.utils.category_names import Categories, entry_of
from seesaw_d2.utils.regular_files import irregular
from seesaw_d2.weights.reading import as_checkpoint, read_weights_file

_RESULTS = "lvis_instances_results.json"


class _NamesAsText(yaml.SafeLoader):
    """Detectron2 writes tuples, and of a LazyConfig classes, functions and objects, by tags of Python's.

    Here tuples are lists, and the others are text, their names; nothing of it is made or called.
    """


_PYTHON = "tag:yaml.org,2002:python/"
_NamesAsText.add_constructor(f"{_PYTHON}tuple", lambda loader, node: loader.construct_sequence(node, deep=True))
for _tag in ("name:", "object:", "object/new:"):
    _NamesAsText.add_multi_constructor(_PYTHON + _tag, lambda loader, name, node: name)


@dataclass
class Run:
    """One run folder. ``missing``: section -> why the run has nothing for it."""

    name: str
    folder: str
    config: dict[str, Any]
    config_text: str
    results_file: str
    curves: list[dict[str, float]] = field(default_factory=list)
    classification: dict[str, Any] | None = None
    # (C,) norms of the classifier's rows, (C,) class counts as the loss saw them
    weight_norms: list[float] | None = None
    class_counts: list[int] | None = None
    # that model_final.pth keeps
    categories: Categories | None = None
    environment: str = ""
    command: str = ""
    missing: dict[str, str] = field(default_factory=dict)


def read_run(folder: str, num_classes: int, dataset: str, name: str | None = None) -> Run:
    """Read a run folder.

    Args:
        folder: OUTPUT_DIR of a training.
        num_classes: C.
        dataset: the data set whose results are looked for.
        name: of the run; by default the folder's.

    Raises:
        DataError: no such folder, or it has no results file: there is nothing to report.
    """
    folder = os.path.normpath(folder)
    config_text, config = read_config(folder)
    run = Run(name or os.path.basename(folder), folder, config, config_text, find_results(folder, dataset))
    if not config_text:
        run.missing["config"] = "config.yaml is not there"
    _read_curves(run)
    _read_log(run)
    _read_classification(run)
    _read_weights(run, num_classes)
    return run


def read_config(folder: str) -> tuple[str, dict[str, Any]]:
    """The text and the content of a run's config.yaml; empty where there is none.

    Raises:
        DataError: no such folder, or the file is no YAML of plain values.
    """
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: no such folder; expected a run's OUTPUT_DIR")
    path = os.path.join(folder, "config.yaml")
    if not os.path.exists(path):
        return "", {}
    if irregular(path):
        raise DataError(f"{path}: expected a config file, found {irregular(path)}")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        config = yaml.load(text, _NamesAsText) or {}  # a safe loader
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a YAML file: byte {error.start} is not UTF-8") from None
    except yaml.YAMLError as error:
        raise DataError(f"{path}: not a YAML file of plain values: {error}") from None
    except RecursionError:
        raise DataError(f"{path}: nested too deeply; expected a config file") from None
    if not isinstance(config, dict):
        raise DataError(f"{path}: expected a mapping of config keys, found {type(config).__name__}")
    return text, config


def find_results(folder: str, dataset: str) -> str:
    """The results file of a data set: this project's place, or Detectron2's."""
    places = [os.path.join(folder, "inference", dataset, _RESULTS), os.path.join(folder, "inference", _RESULTS)]
    for path in places:
        if os.path.isfile(path):
            return path
    others = sorted(glob.glob(os.path.join(glob.escape(folder), "inference", "*", _RESULTS)))
    if others:
        names = ", ".join(os.path.basename(os.path.dirname(path)) for path in others)
        raise DataError(f"{folder}: no results of {dataset!r}, but of {names}; all runs of a page need those of one")
    raise DataError(f"{folder}: no results of {dataset!r}; expected {' or '.join(places)}: evaluate the run first")


def _read_curves(run: Run) -> None:
    path = os.path.join(run.folder, "metrics.json")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    run.curves.append(json.loads(line))
                except (ValueError, RecursionError):
                    continue  # the last line of a run that was killed
    except OSError:
        pass
    run.curves = [line for line in run.curves if _is_step(line)]
    if not run.curves:
        run.missing["curves"] = "metrics.json is not there, or has no losses"


def _is_step(line: Any) -> bool:
    return isinstance(line, dict) and all(type(line.get(key)) in (int, float) for key in ("iteration", "total_loss"))


def _read_log(run: Run) -> None:
    try:
        with open(os.path.join(run.folder, "log.txt"), encoding="utf-8", errors="replace") as file:
            text = file.read(200_000)
    except OSError:
        run.missing["environment"] = "log.txt is not there"
        return
    found = re.search(r"Environment info:\s*\n-+.*?\n(.*?)\n-+", text, flags=re.DOTALL)
    run.environment = found.group(1) if found else ""
    found = re.search(r"Command line arguments: (.*)", text)
    run.command = found.group(1) if found else ""


def _read_classification(run: Run) -> None:
    path = os.path.join(os.path.dirname(run.results_file), "classification.json")
    if not os.path.isfile(path):
        run.missing["classification"] = "it was evaluated without TEST.CLASSIFICATION_ACCURACY"
        return
    run.classification = load_json_object(path, "expected what an evaluation writes")


def _read_weights(run: Run, num_classes: int) -> None:
    path = os.path.join(run.folder, "model_final.pth")
    try:
        content = as_checkpoint(read_weights_file(path), path)
    except WeightsError:  # only this section needs it
        reason = "model_final.pth " + ("cannot be read" if os.path.exists(path) else "is not there")
        run.missing["norms"] = run.missing["counts"] = reason
        return
    weights, run.categories = content["model"], entry_of(content, path)
    # With several stages (Cascade) the last one's.
    classifiers = [key for key in weights if re.search(r"box_predictor(\.\d+)?\.cls_score\.weight$", key)]
    counts = [key for key in weights if key.endswith("cls_loss.class_counts")]
    if classifiers and len(weights[classifiers[-1]]) >= num_classes:
        rows = weights[classifiers[-1]][:num_classes].float().flatten(1)
        run.weight_norms = rows.norm(dim=1).tolist()
    else:
        run.missing["norms"] = "the model has no linear classifier of the categories"
    if counts:
        run.class_counts = weights[counts[-1]][:num_classes].tolist()
    else:
        run.missing["counts"] = "its loss counts no classes"
