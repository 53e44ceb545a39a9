"""Choose a calibration (a rescaling of the class scores, such as NorCal) for a trained detector, and evaluate it."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from torch import nn
from tqdm import tqdm

from seesaw_d2.choosing.calibration_folder import (
    FIXED_DETECTIONS_PER_IMAGE,
    Options,
    check_options,
    digest_of,
    settings_of,
    take_folder,
)
from seesaw_d2.choosing.candidates import NONE, Candidate, candidates_of, overrides_of
from seesaw_d2.choosing.evaluated_images import EvaluatedImages
from seesaw_d2.choosing.image_sets import ImageSet, check_disjoint, chosen_set, folds, sampled_set, tested_set
from seesaw_d2.choosing.masks import mask_metrics
from seesaw_d2.choosing.recording import limits_of, record, scoring_of
from seesaw_d2.choosing.stored_proposals import StoredProposals
from seesaw_d2.choosing.sweep import METRICS, ImageIds, Metrics, Stored, Work, run_all, sweep
from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError
from seesaw_d2.evaluation.results_files import write_json
from seesaw_d2.modeling.calibration.build import CALIBRATION_REGISTRY
from seesaw_d2.predict.predictor import load_predictor
from seesaw_d2.report.calibration_report import write_calibration_report
from seesaw_d2.train.preflight.job_checks import Preflight
from seesaw_d2.train.preflight.keys.written import written_layers
from seesaw_d2.utils.worker_processes import count_workers

RESULT, PAGE = "calibration.json", "calibration.html"


def calibrate(config_file: str, overrides: Sequence[str], options: Options) -> dict[str, Any]:
    """Choose the best calibration of a detector on one set of images, and evaluate the calibrations on the test set.

    A calibration rescales the class scores of a trained detector, and has a parameter, such as gamma of NorCal. This
    function runs the model once on each image, stores the proposals, and writes ``calibration.json`` and
    ``calibration.html``. To resume an interrupted call, call this function again with the same arguments.

    Args:
        config_file: path of the config of the detector.
        overrides: config overrides, a list KEY, VALUE, ....
        options: datasets, calibrations and metric of the choice, and the output folder.

    Returns:
        the content of ``calibration.json``, and the output folder as "output". The main keys are:

        - "before": dict from metric to percent, for boxes on the test set without calibration.
        - "after": dict from calibration name to the same metrics with this calibration.
        - "masks": dict from calibration name to mask metrics on the test set, or {} without ``options.masks``.
        - "curves": dict from calibration name to [value, metrics] of each tried value, on the images of the choice.
        - "parameters": dict from calibration name to the name of its parameter, such as "GAMMA".
        - "chosen": dict from calibration name to its chosen values: one per fold of ``fold_count``, one for all images.
        - "best": name of the best calibration.
        - "config": the overrides KEY, VALUE, ... that select the best calibration.

    Raises:
        ConfigError, DataError, WeightsError: the config, the data, the weights, an option or the output folder is
            invalid.
    """
    check_options(options)
    cfg = load_config(config_file, overrides)
    if options.masks and not cfg.MODEL.MASK_ON:
        raise ConfigError("--masks: the model predicts no masks, because MODEL.MASK_ON is False. Remove --masks")
    preflight = Preflight(cfg, eval_only=True, main_machine=False, written=written_layers(config_file, overrides))
    preflight.run()
    tested = tested_set(cfg)
    chosen = _chosen(cfg, tested, options)
    model = preflight.take_model() or load_predictor(cfg)[0]
    output = Path(options.output or os.path.join(cfg.OUTPUT_DIR, "calibration"))
    candidates, refused = _candidates(cfg, model, options)
    take_folder(output, settings_of(cfg, model, chosen, tested))
    stored_test = _store(cfg, model, tested, output / "test")
    stored = stored_test if options.fold_count else _store(cfg, model, chosen, output / "choice")
    parts = folds(tested.image_ids, options.fold_count) if options.fold_count else []
    subsets = [tuple(key for other in parts if other is not part for key in other) for part in parts]
    subsets = subsets or [chosen.image_ids]
    workers = count_workers(options.workers)
    found = sweep(stored, candidates, [*subsets, chosen.image_ids][: len(parts) + 1], output / "sweep.jsonl", workers)
    choices = _choices(candidates, found, options.metric)
    reported = _report(stored_test, choices, parts or [tested.image_ids], workers)
    masks = _masks(stored_test, model, tested, choices, parts or [tested.image_ids]) if options.masks else {}
    result = _result(config_file, cfg, options, chosen, tested, candidates, found, choices, reported, refused)
    result["masks"] = masks
    write_json(str(output / RESULT), result)
    write_calibration_report(result, str(output / PAGE))
    return {**result, "output": str(output)}


def _chosen(cfg: CfgNode, tested: ImageSet, options: Options) -> ImageSet:
    if options.fold_count:
        folds(tested.image_ids, options.fold_count)  # checks the number of folds before the model runs
        return tested
    name = chosen_set(cfg, options.choose_on)
    check_disjoint(name, tested.dataset)
    return sampled_set(cfg, name, options.images)


def _candidates(cfg: CfgNode, model: nn.Module, options: Options) -> tuple[list[Candidate], dict[str, str]]:
    """List the calibrations to try, each with each value of its parameter.

    A calibration that the model does not support is skipped. If ``options`` names the calibrations or gives the values,
    raise ConfigError instead.

    Returns:
        the list, scores without calibration first, and a dict from the name of each skipped calibration to the reason.
    """
    plain = scoring_of(model, calibrated=False)
    found, refused = [Candidate(NONE, "", 0.0, plain)], {}
    for name in options.calibrations or [name for name, _ in CALIBRATION_REGISTRY]:
        try:
            found += candidates_of(cfg, plain, name, options.values)
        except ConfigError as error:
            if options.calibrations or options.values is not None:
                raise
            refused[name] = str(error)
    return found, refused


def _store(cfg: CfgNode, model: nn.Module, images: ImageSet, folder: Path) -> Stored:
    """Run the detector on the images, and store the proposals in ``folder``. Skip images that are already stored.

    Returns:
        the location of the proposals, and the thresholds for evaluating them. At least 2000 detections per image are
        kept, because AP_fixed does not limit the detections per image.
    """
    inputs = images.inputs(cfg)
    shown = tqdm(inputs, total=len(images.image_ids), desc=f"proposals of {images.dataset}", unit="image", disable=None)
    record(model, shown, folder, {"images": digest_of(images)})
    limits = limits_of(model)
    topk = limits.topk if limits.topk < 0 else max(limits.topk, FIXED_DETECTIONS_PER_IMAGE)
    return Stored(cfg, images.dataset, str(folder), dataclasses.replace(limits, topk=topk))


def _choices(
    candidates: Sequence[Candidate], found: dict[str, list[Metrics]], metric: str
) -> dict[str, list[Candidate]]:
    """Choose the parameter value of each calibration that has the highest metric, on each subset of the images.

    If several values give the same metric, choose the first one.

    Args:
        candidates: all calibrations, each with each value of its parameter.
        found: maps ``Candidate.label``, such as "NorCal 0.6", to a list of metrics, one dict for each subset.
        metric: name of the metric to maximize, such as "AP".

    Returns:
        a dict from the name of a calibration to its chosen candidates, one for each subset.

    Raises:
        ConfigError: the metric is NaN on a subset.
    """
    if any(metrics[metric] != metrics[metric] for metrics in found[NONE]):
        raise ConfigError(
            f"--metric: {metric} is undefined, because the images on which the calibration is chosen contain no "
            f"objects of the categories that {metric} averages over. Choose another metric or more images"
        )
    names = dict.fromkeys(each.name for each in candidates)
    return {
        name: [
            max((each for each in candidates if each.name == name), key=lambda each: found[each.label][index][metric])
            for index in range(len(found[NONE]))
        ]
        for name in names
    }


def _report(
    stored: Stored, choices: dict[str, list[Candidate]], parts: Sequence[ImageIds], workers: int
) -> dict[str, Metrics]:
    """Evaluate each calibration on the test set, with the parameter value that was chosen for each image.

    Args:
        stored: proposals of the test set.
        choices: dict from calibration name to its chosen candidates.
        parts: image ids of each cross-validation fold, or all image ids as a single part. The candidate with index i
            scores the images ``parts[i]``.
        workers: number of processes.

    Returns:
        a dict from calibration name to a dict from metric to percent, over the images of all parts.
    """
    works = [
        Work([each.scoring for each in chosen[: len(parts)]], [list(enumerate(parts))]) for chosen in choices.values()
    ]
    results = run_all(stored, works, workers, f"metrics of {stored.dataset}")
    return {name: metrics for name, (metrics,) in zip(choices, results, strict=True)}


def _masks(
    stored: Stored, model: nn.Module, tested: ImageSet, choices: dict[str, list[Candidate]], parts: Sequence[ImageIds]
) -> dict[str, Metrics]:
    """Return a dict from calibration name to mask metrics in percent on the test set (``tested``).

    The candidate ``choices[name][i]`` scores the images ``parts[i]``, as in ``_report``. Each image has at most
    TEST.DETECTIONS_PER_IMAGE detections.
    """
    fold_of = {key: index for index, ids in enumerate(parts) for key in ids}
    scorings = {name: lambda key, chosen=chosen: chosen[fold_of[key]].scoring for name, chosen in choices.items()}
    images, inputs = EvaluatedImages(stored.cfg, stored.dataset), tested.inputs(stored.cfg)
    shown = tqdm(inputs, total=len(tested.image_ids), desc=f"masks of {stored.dataset}", unit="image", disable=None)
    found = mask_metrics(model, shown, StoredProposals(stored.folder), scorings, limits_of(model), images)
    return {name: {key: metrics[key] for key in METRICS} for name, metrics in found.items()}


def _result(config_file, cfg, options, chosen, tested, candidates, found, choices, reported, refused) -> dict[str, Any]:
    """Return the content of ``calibration.json`` without the mask metrics: settings, metrics and the best calibration.

    Args:
        config_file, cfg, options: arguments of ``calibrate``, and its config.
        chosen, tested: images on which the parameters are chosen, and images of the test set.
        candidates, found, choices: see ``_choices``. The last subset consists of all images in ``chosen``.
        reported: dict from calibration name to its box metrics on the test set.
        refused: dict from the name of each calibration that the model does not support to the reason.
    """
    final = {name: each[-1] for name, each in choices.items()}
    best = max(final, key=lambda name: found[final[name].label][-1][options.metric])
    curves: dict[str, list] = {}
    for each in candidates:
        curves.setdefault(each.name, []).append([each.value, found[each.label][-1]])
    return {
        "config file": config_file,
        "weights": cfg.MODEL.WEIGHTS,
        "options": dataclasses.asdict(options),
        "choice": {"dataset": chosen.dataset, "images": len(chosen.image_ids), "seen": chosen.seen},
        "test": {"dataset": tested.dataset, "images": len(tested.image_ids)},
        "metric": options.metric,
        "curves": curves,
        "parameters": {each.name: each.key.rpartition(".")[2] for each in candidates},
        "chosen": {name: [each.value for each in choices[name]] for name in choices},
        "before": reported[NONE],
        "after": {name: metrics for name, metrics in reported.items() if name != NONE},
        "refused": refused,
        "best": best,
        "config": overrides_of(cfg, final[best].label),
    }
