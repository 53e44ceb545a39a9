"""Choose the classification loss for a model by training only the classifier of a trained model with each loss."""

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.choosing.candidates import check_names
from seesaw_d2.choosing.detection_data import check_detector
from seesaw_d2.choosing.feature_store import data_digest, store_features
from seesaw_d2.choosing.image_sets import annotations_of, count_folds
from seesaw_d2.choosing.loss_candidates import Candidate, Metrics, Trial, candidates_of
from seesaw_d2.choosing.loss_comparison import Comparison, build_losses, by_candidate, run_trials
from seesaw_d2.choosing.loss_results import ranked, tested
from seesaw_d2.choosing.ranking import Ranked, rank
from seesaw_d2.choosing.recording import digest_of_model, limits_of
from seesaw_d2.config.loading import load_config
from seesaw_d2.data.records.statistics import training_statistics
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.build import LOSS_REGISTRY
from seesaw_d2.losses.compared import TrainingData
from seesaw_d2.predict.predictor import load_predictor
from seesaw_d2.train.preflight.categories import check_recorded_counts
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.preflight.keys.written import written_layers
from seesaw_d2.train.preflight.schedule import apply_schedule
from seesaw_d2.train.preflight.trained_and_tested import trained_and_tested
from seesaw_d2.train.tasks import CLASSIFICATION, DETECTION, task_of
from seesaw_d2.utils.atomic_files import write_text
from seesaw_d2.utils.own_files import claim_folder
from seesaw_d2.utils.worker_processes import count_workers

RESULT, TRIALS, FEATURES, MARK = "choose_loss.json", "trainings.jsonl", "features", "losses.txt"
_MOST_ITERATIONS = 2000


@dataclass(frozen=True)
class Options:
    """Options for comparing losses.

    Attributes:
        output: output folder. Default: OUTPUT_DIR/choose_loss.
        losses: names of the losses to compare, such as "SeesawLoss". Default: all losses that support the model.
        seeds: number of trainings of each candidate (a loss with hyperparameters and a type of classifier), >= 1. Each
            training holds out another part of the training images.
        iterations: number of iterations of each training. Default: SOLVER.MAX_ITER, but at most 2000.
        metric: the metric that ranks the methods. A method is a loss with a type of classifier. Default: AP for
            detectors, mean accuracy over classes for image classifiers.
        workers: number of processes. Default: one process per core on a CPU, and a single process on a GPU.
        report: number of best methods to evaluate on the test images.
        calibrations: names of calibrations, which rescale class scores after training, such as "NorCal". Each trained
            classifier is evaluated without and with each calibration.
    """

    output: str | None = None
    losses: Sequence[str] | None = None
    seeds: int = 3
    iterations: int | None = None
    metric: str | None = None
    workers: int | None = None
    report: int = 1
    calibrations: Sequence[str] = ("NorCal",)


def choose_loss(config_file: str, overrides: Sequence[str], options: Options) -> dict[str, Any]:
    """Store the features of a trained model, train classifiers on these features with each loss, and rank the losses.

    A feature is the input of the classifier, the last layer. The ranking uses held-out parts of the training images.
    Only the best losses are then evaluated on the test images. The result is written to ``choose_loss.json``. To resume
    an interrupted call, call this function again with the same arguments.

    Args:
        config_file: path of the config of the model.
        overrides: config overrides, a list KEY, VALUE, ....
        options: losses to compare, number and length of the trainings, and output folder.

    Returns:
        the content of ``choose_loss.json``, a dict with these keys:

        - "ranking": list of dicts (name, config, metrics), one for each loss with each type of classifier, best first.
        - "candidates": list of such dicts, one for each combination of loss, classifier and hyperparameters.
        - "config": dict from config key to value, which selects the best combination.
        - "difference": dict of the metric difference between the first two in "ranking" (see ``Difference``), or None.
        - "test": list of dicts with the metrics of the first ones in "ranking" on the test images.

    Raises:
        ConfigError, DataError, WeightsError: the config, the data, the weights, an option or the output folder is
            invalid.
    """
    _check_options(options)
    cfg = load_config(config_file, overrides)
    preflight = Preflight(cfg, eval_only=True, main_machine=False, written=written_layers(config_file, overrides))
    preflight.run()
    model = preflight.take_model() or load_predictor(cfg)[0]
    output = Path(options.output or os.path.join(cfg.OUTPUT_DIR, "choose_loss"))
    _check_task(cfg, model)
    comparison = _comparison(cfg, model, output / FEATURES, options)
    primary = _metric(comparison, options)
    candidates, refused = _candidates(comparison, options)
    claim_folder(output, MARK)
    store_features(cfg, model, output / FEATURES)
    workers = count_workers(options.workers) if cfg.MODEL.DEVICE == "cpu" else 1
    run = _Run(comparison, output / TRIALS, _digest(cfg, model, comparison), workers)
    results = run.trials([Trial(each, seed, seed) for each in candidates for seed in range(options.seeds)])
    ranking = _ranking(results, primary)
    best = [entry.candidate for entry in ranking[: options.report]]
    reported = run.trials([Trial(each, seed, None) for each in best for seed in range(options.seeds)])
    result = {
        "config file": config_file,
        "weights": cfg.MODEL.WEIGHTS,
        "options": dataclasses.asdict(options),
        "metric": primary,
        "iterations": comparison.iterations,
        "batch": comparison.batch,
        **ranked(cfg, ranking, results, comparison.kind.shown, primary),
        "refused": refused,
    }
    result["test"] = tested(result["ranking"], reported)
    write_text(output / RESULT, json.dumps(result, indent=1))
    return {**result, "output": str(output)}


@dataclass(frozen=True)
class _Run:
    comparison: Comparison
    path: Path
    settings: str
    workers: int

    def trials(self, trials: list[Trial]) -> dict[Trial, Metrics]:
        return run_trials(self.comparison, trials, self.path, self.settings, self.workers)


def _check_options(options: Options) -> None:
    check_names("--losses", options.losses or (), LOSS_REGISTRY)
    for name in ("seeds", "iterations", "report"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name}: expected an integer >= 1, found {value}")
    check_names("--calibrations", options.calibrations)
    count_workers(options.workers)


def _check_task(cfg: CfgNode, model: nn.Module) -> None:
    if task_of(cfg) is DETECTION:
        check_detector(cfg, model)
    elif task_of(cfg) is not CLASSIFICATION:
        raise ConfigError(
            "MODEL.META_ARCHITECTURE: expected a two-stage detector or an image classifier, found "
            f"{cfg.MODEL.META_ARCHITECTURE!r}"
        )
    task_of(cfg).validate_datasets(cfg, training=True)
    for problem in trained_and_tested(cfg, images=False):  # methods are chosen on training images
        raise ConfigError(problem)
    check_recorded_counts(cfg)


def _comparison(cfg: CfgNode, model: nn.Module, folder: Path, options: Options) -> Comparison:
    apply_schedule(cfg, task_of(cfg).load_training_records(cfg) if cfg.SOLVER.EPOCHS > 0 else None)
    detector = task_of(cfg) is DETECTION
    per_image = cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE if detector else 1
    return Comparison(
        cfg=cfg,
        folder=folder,
        folds=count_folds(cfg, options.seeds),
        iterations=options.iterations or min(cfg.SOLVER.MAX_ITER, _MOST_ITERATIONS),
        batch=cfg.SOLVER.IMS_PER_BATCH * per_image,
        limits=limits_of(model) if detector else None,
        average_logits=detector and getattr(model.roi_heads, "average", "") == "logits",
        calibrations=tuple(options.calibrations),
    )


def _metric(comparison: Comparison, options: Options) -> str:
    """Return ``options.metric`` or, if it is None, the default metric of the model, such as "AP" for detectors.

    Raises:
        ConfigError: the metric is unknown for this type of model.
    """
    shown = comparison.kind.shown
    if options.metric not in (None, *shown):
        raise ConfigError(f"--metric: expected one of {', '.join(shown)}, found {options.metric!r}")
    return options.metric or shown[0]


def _candidates(comparison: Comparison, options: Options) -> tuple[list[Candidate], dict[str, str]]:
    """List the combinations of loss, hyperparameters and type of classifier (candidates) that support the model.

    Returns:
        the list, and a dict from the name of each candidate that does not support the model to the reason.

    Raises:
        ConfigError: no candidate supports the model.
    """
    cfg, detector = comparison.cfg, comparison.limits is not None
    num_classes = task_of(cfg).num_classes(cfg)
    images = training_statistics(cfg).num_annotated_images
    data = TrainingData(num_classes, images, tuple(cfg.DATASETS.FREQUENCY_THRESHOLDS), cfg.SOLVER.MAX_ITER)

    def build(candidate: Candidate):
        return build_losses(candidate.config(cfg), num_classes, 1, detector)

    found, refused = candidates_of(data, detector, build, options.losses)
    if not found:
        reasons = "".join(f". {reason}" for reason in dict.fromkeys(refused.values()))
        raise ConfigError(
            "--losses: expected at least one loss that fits the model, found "
            f"{', '.join(options.losses or ())}{reasons}"
        )
    return found, refused


def _ranking(results: dict[Trial, Metrics], metric: str) -> list[Ranked]:
    """Rank the methods (loss and type of classifier) by a metric. Each method is represented by its best candidate.

    Args:
        results: metrics of each training on held-out images.
        metric: name of the metric, such as "AP".

    Raises:
        ConfigError: the metric is NaN for all trainings.
    """
    found = rank(by_candidate(results, metric))
    if not math.isfinite(found[0].mean):
        raise ConfigError(
            f"--metric: {metric} is undefined, because the held-out training images contain no objects of the "
            f"categories that {metric} averages over. Choose another metric"
        )
    return found


def _digest(cfg: CfgNode, model: nn.Module, comparison: Comparison) -> str:
    """Return a hash of all settings, weights and data on which the metrics of a training depend.

    Stored metrics with the same hash are reused when an interrupted comparison resumes.
    """
    numbers = [comparison.iterations, comparison.batch, comparison.folds, data_digest(cfg), digest_of_model(model)]
    text = f"{numbers}{comparison.calibrations}{annotations_of(cfg)}{cfg.SOLVER.dump()}{cfg.TEST.dump()}"
    return hashlib.sha256(text.encode()).hexdigest()
