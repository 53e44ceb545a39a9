"""The report: run folders in, one HTML file out, which needs no network and no other file."""

import datetime
import logging
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from lvis import LVIS

from seesaw_d2.data import load_dataset, register_datasets, training_statistics
from seesaw_d2.data.records.catalog import categories_of, category_ids, read_annotation_file
from seesaw_d2.data.records.columns import file_names, image_column
from seesaw_d2.data.records.validation import check_training_order
from seesaw_d2.errors import ConfigError, DataError, SeesawError, WeightsError
from seesaw_d2.evaluation import evaluate_detections, lvis_ground_truth, read_results
from seesaw_d2.evaluation.evaluate import describe, evaluable_tasks
from seesaw_d2.evaluation.ground_truth import frequency_letters
from seesaw_d2.evaluation.metrics import METRICS, group_members
from seesaw_d2.frequency_groups import NAME_OF_LETTER
from seesaw_d2.report.gallery import choose_images, gallery_entry
from seesaw_d2.report.match_analysis import outcomes
from seesaw_d2.report.run_folders import Run, read_config, read_run
from seesaw_d2.report.sections import build_sections
from seesaw_d2.train import load_config
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.categories import check_order

logger = logging.getLogger(__name__)


def write_report(
    folders: Sequence[str],
    path: str,
    *,
    dataset: str | None = None,
    config_file: str = "",
    names: Sequence[str] | None = None,
    num_images: int = 24,
    title: str = "Long-tailed instance segmentation",
) -> dict[str, str]:
    """Write the page.

    Args:
        folders: run folders (OUTPUT_DIR), of this project's trainings or of plain Detectron2 ones; the first is what
            the others are compared to.
        path: of the HTML file.
        dataset: the data set of the results; by default the first of the first run's DATASETS.TEST.
        config_file: a config whose DATASETS.REGISTER has the data set, where the first run's config does not: that of
            a plain Detectron2 run, whose own code registered it.
        names: of the runs; by default their folders'.
        num_images: in the gallery.
        title: of the page.

    Returns:
        section of a run ("run: section") -> why it was left out.

    Raises:
        ConfigError, DataError: a folder without results, results of other images or categories, ...; nothing is
            written then.
    """
    names = _distinct(folders, names)
    cfg = run_config(folders[0], config_file)
    register_datasets(cfg)
    dataset = dataset or next(iter(cfg.DATASETS.TEST), None)
    if dataset is None:
        if not (config_file or os.path.exists(os.path.join(folders[0], "config.yaml"))):
            raise ConfigError(
                f"{folders[0]}: no run's folder: expected config.yaml in it, found none; a training's OUTPUT_DIR is "
                "one, and for others --dataset names the data set"
            )
        raise ConfigError(f"{folders[0]}: its config names no DATASETS.TEST; name the data set with --dataset")
    file = read_annotation_file(dataset)
    if not file.ground_truth:
        raise DataError(f"{file.path}: no annotations, so that there is nothing to compare detections with")
    ids = category_ids(dataset, file)
    letters = frequency_letters(cfg, dataset, file)
    ground_truth = lvis_ground_truth(file, letters or dict.fromkeys(ids, "f"))
    tested = categories_of(dataset, "--dataset")
    check_training_order(cfg, tested)
    runs = [read_run(folder, len(ids), dataset, name) for folder, name in zip(folders, names, strict=True)]
    for run in runs:
        if run.categories and (warning := check_order(run.categories, tested, error=WeightsError)):
            logger.warning(warning)
    evaluated = [_evaluate(run, dataset, file, ground_truth, letters is not None) for run in runs]
    counts = _training_counts(cfg, ground_truth, ids)
    gallery = _gallery(dataset, ground_truth, evaluated, num_images)
    context = {
        "title": title,
        "date": datetime.date.today().isoformat(),
        "dataset": dataset,
        "runs": runs,
        "metrics": METRICS,
        "evaluated": evaluated,
        "groups_known": letters is not None,
        "gallery": gallery,
        "group_names": NAME_OF_LETTER,
        **build_sections(runs, evaluated, ground_truth, ids, counts),
    }
    environment = Environment(
        loader=PackageLoader("seesaw_d2.report"), autoescape=select_autoescape(["html"]), undefined=StrictUndefined
    )
    text = environment.get_template("report.html").render(context)
    write_text(path, text)
    return {f"{run.name}: {section}": why for run in runs for section, why in run.missing.items()}


def run_config(folder: str, config_file: str = "") -> CfgNode:
    """A config (or the defaults) with what this page needs of a run's: its data sets, nothing that could be unknown."""
    cfg = load_config(config_file)
    _, found = read_config(folder)
    datasets = found.get("DATASETS", {})
    for key in ("REGISTER", "TRAIN", "TEST", "FREQUENCY_THRESHOLDS"):
        if key in datasets:
            value = datasets[key]
            cfg.DATASETS[key] = tuple(value) if key in ("TRAIN", "TEST") else value
    return cfg


def _distinct(folders: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """Names of the runs: those given, or the shortest ends of the paths that differ."""
    if not folders:
        raise ConfigError("runs: expected at least one run folder, found none")
    if names:
        if len(names) != len(folders) or len(set(names)) != len(names):
            raise ConfigError(f"--names: expected {len(folders)} different names, found {', '.join(names)}")
        return list(names)
    parts = [os.path.abspath(folder).split(os.sep) for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        found = ["/".join(part[-depth:]) for part in parts]
        if len(set(found)) == len(found):
            return found
    raise ConfigError("runs: expected different folders, found one twice")


def _evaluate(run: Run, dataset: str, file, ground_truth: LVIS, groups_known: bool) -> dict[str, Any]:
    detections = read_results(run.results_file, ground_truth)
    metrics, rows = {}, {}
    tasks = evaluable_tasks(dataset, file, detections)
    for task in tasks:
        metrics[task], rows[task] = evaluate_detections(ground_truth, detections, task, groups_known=groups_known)
    evaluated = len(np.unique(detections.image_ids))
    model = run.config.get("MODEL", {})
    return {
        "detections": detections,
        "metrics": metrics,
        "rows": rows,
        "outcome": outcomes(ground_truth, detections),
        "description": describe(
            dataset,
            file.path,
            ground_truth,
            detections,
            evaluated=evaluated,
            **{"score threshold": model.get("ROI_HEADS", {}).get("SCORE_THRESH_TEST", "unknown")},
            **{"detections counted in an image": 300, "IoU types": " and ".join(tasks)},
        ),
    }


def _training_counts(cfg: CfgNode, ground_truth: LVIS, ids: list[int]) -> dict[str, list[int]] | None:
    """(C,) training images and instances of each category, in the order of the indices; None where not known."""
    categories = [ground_truth.cats[key] for key in ids]
    if all("image_count" in c and "instance_count" in c for c in categories):
        return {
            "images": [c["image_count"] for c in categories],
            "instances": [c["instance_count"] for c in categories],
        }
    try:
        statistics = training_statistics(cfg)
    except SeesawError:
        return None
    if list(statistics.names) != [c["name"] for c in categories]:
        return None
    return {"images": statistics.image_count.tolist(), "instances": statistics.instance_count.tolist()}


def _gallery(dataset: str, ground_truth: LVIS, evaluated: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    files = {}
    if limit > 0:
        records = load_dataset(dataset)
        files = dict(zip(image_column(records, "image_id").tolist(), file_names(records), strict=True))
    members = group_members(ground_truth)
    pairs = [(entry["detections"], entry["outcome"]) for entry in evaluated]
    if any(detections.boxes is None for detections, _ in pairs):
        return {"entries": [], "unreadable": 0, "why": "the results have no boxes"}
    found, unreadable = [], 0
    for image_id in choose_images([outcome for _, outcome in pairs], members, limit):
        entry = gallery_entry(image_id, files[image_id], ground_truth, pairs)
        found.append(entry)
        unreadable += entry is None
    return {"entries": [entry for entry in found if entry], "unreadable": unreadable, "why": ""}
