"""Write the detection report, a self-contained HTML page about one or more runs."""

import datetime
import logging
import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import CfgNode
from lvis import LVIS

from seesaw_d2.config.loading import load_config
from seesaw_d2.data.records.annotation_files import AnnotationFile
from seesaw_d2.data.records.catalog import categories_of, category_ids, load_dataset, read_annotation_file
from seesaw_d2.data.records.records import file_names, image_column
from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.data.records.validation import check_training_order
from seesaw_d2.errors import ConfigError, DataError, SeesawError, WeightsError
from seesaw_d2.evaluation.category_frequency import frequency_letters
from seesaw_d2.evaluation.description import score_threshold_key
from seesaw_d2.evaluation.detection_metrics import METRICS, group_members
from seesaw_d2.evaluation.evaluate import evaluate_tasks
from seesaw_d2.evaluation.ground_truth import GroundTruth
from seesaw_d2.evaluation.ground_truth_rules import ground_truth_with_groups
from seesaw_d2.evaluation.results_files import read_results
from seesaw_d2.report.confusions import outcomes
from seesaw_d2.report.gallery import choose_images, gallery_entry
from seesaw_d2.report.rendering import check_page, render
from seesaw_d2.report.run_config import run_datasets
from seesaw_d2.report.run_folders import Run, check_detectors, read_run
from seesaw_d2.report.sections import build_sections
from seesaw_d2.report.setting_differences import config_value
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.category_names import Categories, check_order

logger = logging.getLogger(__name__)
# The results table has these columns. APr, APc and APf come first, because the report is about long-tailed data.
_METRICS = ("APr", "APc", "APf", *(metric for metric in METRICS if metric not in ("APr", "APc", "APf")))


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
    """Write the detection report of one or more runs.

    Args:
        folders: OUTPUT_DIR of each training run, with this project or with Detectron2. The first run is the baseline.
        path: path of the HTML file.
        dataset: name of the dataset on which the runs were evaluated. Default: DATASETS.TEST[0] of the first run.
        config_file: config whose DATASETS.REGISTER contains the dataset. Set this argument for runs of plain
            Detectron2 whose data was registered in code.
        names: names of the runs. Default: names of the folders.
        num_images: number of images in the gallery.
        title: title of the page.

    Returns:
        a dict with the data that the report lacks, from "name of the run: name of the section" to the reason.

    Raises:
        ConfigError, DataError: an argument or the results of a run are invalid. No page is written in this case.
    """
    check_page(path)
    if num_images < 0:
        raise ConfigError(f"--images: expected an integer >= 0, found {num_images}")
    names = _distinct(folders, names)
    check_detectors(folders)
    cfg = run_config(folders[0], config_file)
    register_datasets(cfg)
    dataset = dataset or _test_set(cfg, folders[0], config_file)
    file = _annotated(dataset)
    ids = category_ids(dataset, file)
    ground_truth = ground_truth_with_groups(file, frequency_letters(cfg, dataset, file))
    tested = categories_of(dataset, "--dataset")
    check_training_order(cfg, tested)
    runs = [read_run(folder, len(ids), dataset, name) for folder, name in zip(folders, names, strict=True)]
    _check_order(runs, tested)
    evaluated = [_evaluate(run, dataset, file, ground_truth) for run in runs]
    files = _image_files(dataset) if num_images > 0 else {}
    counts = _training_counts(cfg, ground_truth, ids)
    text = render(
        "report.html",
        title=title,
        date=datetime.date.today().isoformat(),
        dataset=dataset,
        runs=runs,
        metrics=_METRICS,
        evaluated=evaluated,
        groups_known=ground_truth.groups_known,
        gallery=_gallery(files, ground_truth, evaluated, num_images),
        **build_sections(runs, evaluated, ground_truth, ids, counts, files, cfg.DATASETS.FREQUENCY_THRESHOLDS),
    )
    write_text(path, text)
    return {f"{run.name}: {section}": why for run in runs for section, why in run.missing.items()}


def run_config(folder: str, config_file: str = "") -> CfgNode:
    """Return a config with the DATASETS keys of a run's config.yaml.

    All other values come from ``config_file`` or, without a file, from the default config. The other keys of
    config.yaml are ignored, because they may be unknown to this project.
    """
    cfg = load_config(config_file)
    for key, value in run_datasets(folder).items():
        cfg.DATASETS[key] = tuple(value) if key in ("TRAIN", "TEST") else value
    return cfg


def _annotated(dataset: str) -> AnnotationFile:
    """Return the annotation file of a dataset. Raise DataError if it has no annotations."""
    file = read_annotation_file(dataset)
    if not file.ground_truth:
        raise DataError(f"{file.path}: expected annotations, found none. Set --dataset to a dataset with annotations")
    return file


def _test_set(cfg: CfgNode, folder: str, config_file: str) -> str:
    if cfg.DATASETS.TEST:
        return cfg.DATASETS.TEST[0]
    if config_file or os.path.exists(os.path.join(folder, "config.yaml")):
        raise ConfigError(
            f"{folder}: DATASETS.TEST of the config is empty, so the dataset of the results is unknown. Set --dataset "
            "to its name"
        )
    raise ConfigError(
        f"{folder}: the folder has no config.yaml, so the dataset of the results is unknown. Check that the folder is "
        "the OUTPUT_DIR of a training, or set --dataset to the name of the dataset"
    )


def _distinct(folders: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """Return a different name for each run: ``names`` or, by default, the end of the path of each folder.

    By default, a name consists of as few path components as possible. For example, the names of "a/seesaw" and "a/ce"
    are "seesaw" and "ce", and those of "a/run1" and "b/run1" are "a/run1" and "b/run1".

    Raises:
        ConfigError: ``folders`` is empty or contains a folder twice, or ``names`` contains a name twice, or has another
            length than ``folders``.
    """
    if not folders:
        raise ConfigError("runs: expected at least one run folder, found no folder")
    if names:
        if len(names) != len(folders) or len(set(names)) != len(names):
            raise ConfigError(
                f"--names: expected {len(folders)} different names, one per run, found {', '.join(names)}"
            )
        return list(names)
    parts = [os.path.abspath(folder).split(os.sep) for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        found = ["/".join(part[-depth:]) for part in parts]
        if len(set(found)) == len(found):
            return found
    raise ConfigError(
        f"runs: expected different folders, found a folder several times in the list {', '.join(folders)}"
    )


def _check_order(runs: list[Run], tested: Categories) -> None:
    for run in runs:
        if run.categories and (warning := check_order(run.categories, tested, error=WeightsError)):
            logger.warning(warning)


def _evaluate(run: Run, dataset: str, file: AnnotationFile, ground_truth: GroundTruth) -> dict[str, Any]:
    detections = read_results(run.results_file, ground_truth)
    threshold = config_value(run.config, score_threshold_key(str(config_value(run.config, "MODEL.META_ARCHITECTURE"))))
    threshold = "unknown" if threshold is None else threshold
    evaluation = evaluate_tasks(dataset, file, ground_truth, detections, settings={"score threshold": threshold})
    return {
        "detections": detections,
        "metrics": evaluation.metrics,
        "rows": evaluation.categories,
        "outcome": outcomes(ground_truth, detections),
        "description": evaluation.description,
    }


def _training_counts(cfg: CfgNode, ground_truth: LVIS, ids: list[int]) -> dict[str, list[int]] | None:
    """Return the numbers of training images and training instances of each category, or None if unknown.

    The numbers come from the annotation file of the test set or, if it lacks them, from DATASETS.TRAIN.

    Args:
        cfg: config with DATASETS.TRAIN.
        ground_truth: ground truth of the test set.
        ids: category ids in the order of the model's classes.

    Returns:
        a dict with the lists "images" and "instances", in the order of ``ids``.
    """
    categories = [ground_truth.cats[key] for key in ids]
    counts = [c.get(name) for c in categories for name in ("image_count", "instance_count")]
    if all(type(count) in (int, float) and 0 <= count < 2**53 for count in counts):
        return {name: [c[f"{name[:-1]}_count"] for c in categories] for name in ("images", "instances")}
    try:
        statistics = training_statistics(cfg)
    except SeesawError:
        return None
    if list(statistics.names) != [c["name"] for c in categories]:
        return None
    return {"images": statistics.image_count.tolist(), "instances": statistics.instance_count.tolist()}


def _image_files(dataset: str) -> dict[int, str]:
    """Return a dict from the id of each image of a dataset to the path of the image."""
    records = load_dataset(dataset)
    return dict(zip(image_column(records, "image_id").tolist(), file_names(records), strict=True))


def _gallery(files: dict[int, str], ground_truth: LVIS, evaluated: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    pairs = [(entry["detections"], entry["outcome"]) for entry in evaluated]
    if any(detections.boxes is None for detections, _ in pairs):
        return {"entries": [], "unreadable": 0, "why": "the results have no boxes"}
    chosen = choose_images([outcome for _, outcome in pairs], group_members(ground_truth), limit)
    found = [gallery_entry(image_id, files[image_id], ground_truth, pairs) for image_id in chosen]
    entries = [entry for entry in found if entry]
    return {"entries": entries, "unreadable": len(found) - len(entries), "why": ""}
