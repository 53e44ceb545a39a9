"""Train classifiers with each loss and several seeds in parallel, and evaluate them. Resume after an interruption."""

import functools
import logging
import math
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
from seesaw_d2.utils.messages import first_few
from seesaw_d2.utils.worker_processes import worker_map
from seesaw_d2.weights.checkpoint_io import not_finite

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Settings for comparing losses: each training trains a new classifier on the stored features of a model.

    Attributes:
        cfg: config of the trained model.
        folder: folder of the stored features.
        folds: number of parts (folds) into which the training images are split.
        iterations: number of iterations of each training.
        batch: number of samples (proposals or images) in a batch.
        limits: score and NMS thresholds of the detector, or None if the model is an image classifier.
        average_logits: whether the model is a cascade that averages the logits of its stages, not the probabilities.
        calibrations: names of calibrations, such as "NorCal". Each trained classifier is evaluated with a few parameter
            values of each calibration.
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
        """Return the class that reads the stored features: ``DetectionData`` or ``ClassificationData``."""
        return ClassificationData if self.limits is None else DetectionData

    def open(self) -> DetectionData | ClassificationData:
        """Open the stored features of the detector or image classifier for training and evaluation."""
        if self.limits is None:
            return ClassificationData(self.cfg, self.folder, self.folds)
        return DetectionData(self.cfg, self.limits, self.average_logits, self.folder, self.folds)


def build_losses(cfg: CfgNode, num_classes: int, stages: int, detector: bool) -> list[ClassificationLoss]:
    """Build the loss of the config for each stage of a model.

    Args:
        cfg: config with the loss and the training data. Some losses need the class counts of the training data.
        num_classes: number of classes.
        stages: number of stages, 1 except for cascades.
        detector: whether the losses model background. If False, the model is an image classifier, without background.
    """
    statistics = functools.partial(training_statistics, cfg)
    return [
        build_loss(cfg, num_classes, statistics, stage=stage, num_stages=stages, has_background=detector)
        for stage in range(stages)
    ]


# Maps the arguments of the reader of stored features that was opened last to this reader. All trainings in a worker
# process use the same reader, because reading the annotations takes time.
_opened: dict[tuple, DetectionData | ClassificationData] = {}


def run_trial(comparison: Comparison, trial: Trial) -> dict[str, Any]:
    """Train a classifier for each stage of the model, and evaluate these classifiers.

    Args:
        comparison: settings of all trainings.
        trial: loss, seed and held-out fold of this training.

    Returns:
        a dict with these keys:

        - "metrics": dict from the label of a calibration, or "none", to a dict from metric to percent. If the training
          diverged, all metrics that are not NaN are 0.
        - "diverged": whether a trained classifier has NaN or infinite weights.
        - "seconds": duration of training and evaluation.
    """
    started, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)  # each core runs its own process, so more threads would compete for the cores
    try:
        register_datasets(comparison.cfg)
        options = (comparison.folder, comparison.folds, comparison.limits, comparison.average_logits)
        arguments = (*options, comparison.cfg.dump())
        if arguments not in _opened:
            _opened.clear()
            _opened[arguments] = comparison.open()
        data = _opened[arguments]
        cfg = shortened(trial.candidate.config(comparison.cfg), comparison.iterations)
        losses = build_losses(cfg, data.num_classes, data.num_stages, data.has_background)
        classifiers = [
            train_classifier(cfg, loss, data.samples(stage, trial.fold), comparison.batch, trial.seed)
            for stage, loss in enumerate(losses)
        ]
        extra = ("fixed",) if trial.fold is None else ()
        variants = functools.partial(calibrated_variants, cfg, comparison.calibrations)
        metrics = data.metrics(classifiers, losses, trial.fold, extra=extra, calibrated=variants)
        diverged = any(not_finite(classifier.state_dict()) for classifier in classifiers)
        if diverged:  # NaN scores would count as predictions of the first class
            metrics = {label: _zeros(found) for label, found in metrics.items()}
        return {"metrics": metrics, "diverged": diverged, "seconds": round(time.perf_counter() - started, 2)}
    finally:
        torch.set_num_threads(threads)


def _zeros(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value if math.isnan(value) else 0.0 for name, value in metrics.items()}


def run_trials(
    comparison: Comparison, trials: Sequence[Trial], path: Path, settings: str, workers: int
) -> dict[Trial, Metrics]:
    """Run trainings in parallel, with a progress bar. Log a warning with the names of trainings that diverged.

    Args:
        comparison: settings of all trainings.
        trials: loss, seed and held-out fold of each training.
        path: file to which this function appends finished trainings. Trainings that the file already contains with the
            same ``settings`` are skipped.
        settings: hash of all settings, weights and data on which the metrics depend.
        workers: number of processes.

    Returns:
        a dict from trial to its metrics: a dict from the label of a calibration to a dict from metric to percent.
    """
    cut_incomplete_line(path)
    rows = [row for row in complete_lines(path) if row.get("settings") == settings]
    finished = {row["trial"]: row for row in rows}
    missing = [trial for trial in trials if trial.key not in finished]
    for trial, found in zip(missing, _run(comparison, missing, workers), strict=True):
        finished[trial.key] = found
        described = {"settings": settings, "trial": trial.key, "loss": trial.candidate.loss, **_described(trial)}
        append_line(path, {**described, **found})
    if diverged := [trial.key for trial in trials if finished[trial.key].get("diverged")]:
        logger.warning(
            "%d of %d trainings diverged to NaN or infinite weights. Their metrics count as 0. Diverged trainings: %s",
            len(diverged),
            len(trials),
            first_few(diverged),
        )
    return {trial: finished[trial.key]["metrics"] for trial in trials}


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
    """Collect the values of a metric without calibration for each candidate (a loss with hyperparameters).

    Args:
        results: metrics of each training.
        name: name of the metric, such as "AP".

    Returns:
        a dict from candidate to an array with one value for each seed, in the order of the seeds.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    candidates = {}
    for trial, metrics in results.items():
        candidates[trial.candidate.name] = trial.candidate
        found.setdefault(trial.candidate.name, []).append((trial.seed, metrics[NONE][name]))
    return {candidates[key]: np.array([value for _, value in sorted(rows)]) for key, rows in found.items()}
