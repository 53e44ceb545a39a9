"""Training and evaluation of candidates with several seeds, in parallel, resumable."""

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from tqdm import tqdm

from seesaw_d2.choosing.candidates import NONE, calibrated_variants
from seesaw_d2.choosing.classification_data import ClassificationData
from seesaw_d2.choosing.classifier_training import shortened, train_classifier
from seesaw_d2.choosing.detecting import Limits
from seesaw_d2.choosing.detection_data import DetectionData
from seesaw_d2.choosing.json_lines import append_line, complete_lines, cut_incomplete_line
from seesaw_d2.choosing.loss_candidates import Candidate, Metrics, Trial
from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.losses.base import ClassificationLoss
from seesaw_d2.losses.build import build_loss
from seesaw_d2.utils.worker_processes import worker_map


@dataclass(frozen=True, eq=False)
class Comparison:
    """Stored features and how candidates are trained on them.

    Attributes:
        cfg: of the trained model.
        folder: of the stored features.
        folds: number of parts of the training images.
        iterations: of each training.
        batch: samples in a batch.
        limits: thresholds of a detector. None: an image classifier.
        average_logits: see ``DetectionData``.
        calibrations: names of the calibrations, each with a few values, that are evaluated with each classifier.
    """

    cfg: CfgNode
    folder: Path
    folds: int
    iterations: int
    batch: int
    limits: Limits | None = None
    average_logits: bool = False
    calibrations: tuple[str, ...] = ()

    @property
    def kind(self) -> type[DetectionData] | type[ClassificationData]:
        """Return the class of the stored features."""
        return ClassificationData if self.limits is None else DetectionData

    def open(self) -> DetectionData | ClassificationData:
        """Return the stored features."""
        if self.limits is None:
            return ClassificationData(self.cfg, self.folder, self.folds)
        return DetectionData(self.cfg, self.limits, self.average_logits, self.folder, self.folds)


def build_losses(cfg: CfgNode, num_classes: int, stages: int, detector: bool) -> list[ClassificationLoss]:
    """Return the config's loss for each stage."""
    statistics = functools.partial(training_statistics, cfg)
    return [
        build_loss(cfg, num_classes, statistics, stage=stage, num_stages=stages, has_background=detector)
        for stage in range(stages)
    ]


_opened: dict[Path, DetectionData | ClassificationData] = {}


def run_trial(comparison: Comparison, trial: Trial) -> dict[str, Any]:
    """Train the classifiers of a trial and return its metrics, by the label of the calibration, and seconds."""
    started, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)  # the processes share the cores
    try:
        register_datasets(comparison.cfg)
        if comparison.folder not in _opened:
            _opened.clear()
            _opened[comparison.folder] = comparison.open()
        data = _opened[comparison.folder]
        cfg = shortened(trial.candidate.config(comparison.cfg), comparison.iterations)
        losses = build_losses(cfg, data.num_classes, data.num_stages, data.has_background)
        classifiers = [
            train_classifier(cfg, loss, data.samples(stage, trial.fold), comparison.batch, trial.seed)
            for stage, loss in enumerate(losses)
        ]
        extra = ("fixed",) if trial.fold is None else ()
        variants = functools.partial(calibrated_variants, cfg, comparison.calibrations)
        metrics = data.metrics(classifiers, losses, trial.fold, extra=extra, calibrated=variants)
        return {"metrics": metrics, "seconds": round(time.perf_counter() - started, 2)}
    finally:
        torch.set_num_threads(threads)


def run_trials(
    comparison: Comparison, trials: Sequence[Trial], path: Path, settings: str, workers: int
) -> dict[Trial, Metrics]:
    """Return the metrics of each trial, with a progress bar.

    Args:
        path: file of finished trials. Those in it that have the same settings are not run again.
        settings: digest of the settings, weights and data. Trials in the file with another digest are run again.
    """
    cut_incomplete_line(path)
    rows = [row for row in complete_lines(path) if row["settings"] == settings]
    finished = {row["trial"]: row["metrics"] for row in rows}
    missing = [trial for trial in trials if trial.key not in finished]
    for trial, found in zip(missing, _run(comparison, missing, workers), strict=True):
        finished[trial.key] = found["metrics"]
        described = {"settings": settings, "trial": trial.key, "loss": trial.candidate.loss, **_described(trial)}
        append_line(path, {**described, **found})
    return {trial: finished[trial.key] for trial in trials}


def _described(trial: Trial) -> dict[str, Any]:
    candidate = trial.candidate
    return {
        "classifier": candidate.classifier,
        "values": dict(candidate.values),
        "seed": trial.seed,
        "fold": trial.fold,
    }


def _run(comparison: Comparison, trials: Sequence[Trial], workers: int) -> Iterator[dict[str, Any]]:
    with worker_map(max(1, min(workers, len(trials))), fork=False) as parallel:
        results = parallel(run_trial, [comparison] * len(trials), trials)
        yield from tqdm(results, total=len(trials), desc="classifiers", unit="training", disable=None)


def by_candidate(results: Mapping[Trial, Metrics], name: str) -> dict[Candidate, np.ndarray]:
    """Return the metric ``name`` of each candidate: an array (S,) with one value for each of its S seeds, in order."""
    found: dict[str, list[tuple[int, float]]] = {}
    candidates = {}
    for trial, metrics in results.items():
        candidates[trial.candidate.name] = trial.candidate
        found.setdefault(trial.candidate.name, []).append((trial.seed, metrics[NONE][name]))
    return {candidates[key]: np.array([value for _, value in sorted(rows)]) for key, rows in found.items()}
