"""Build the content of choose_loss.json: the metrics of each loss with each type of classifier, also with calibration.

Shapes: S seeds.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from detectron2.config import CfgNode

from seesaw_d2.choosing.candidates import NONE, overrides_of
from seesaw_d2.choosing.loss_candidates import Candidate, Metrics, Trial
from seesaw_d2.choosing.ranking import Ranked, difference


def ranked(
    cfg: CfgNode, ranking: Sequence[Ranked], results: Mapping[Trial, Metrics], shown: Sequence[str], metric: str
) -> dict[str, Any]:
    """Return the part of choose_loss.json about the ranking: "ranking", "candidates", "config" and "difference".

    Args:
        cfg: config of the trained model.
        ranking: best candidate (a loss with hyperparameters) of each method (loss and classifier), the best one first.
        results: metrics of each training on held-out training images.
        shown: names of the metrics to include, such as "AP" and "APr".
        metric: name of the metric with which the calibration of each method is chosen.
    """
    best = [entry.candidate for entry in ranking]
    found = {
        "ranking": [_calibrated_row(cfg, each, results, shown, metric) for each in best],
        "candidates": [_row(each, _of(each, results), shown) for each in dict.fromkeys(t.candidate for t in results)],
        "config": best[0].overrides(),
        "difference": None,
    }
    if len(ranking) > 1:
        compared = difference(ranking[0].values, ranking[1].values)
        numbers = {key: _number(value) for key, value in dataclasses.asdict(compared).items()}
        found["difference"] = {**numbers, "clear": compared.clear}
    return found


def tested(rows: Sequence[Mapping[str, Any]], results: Mapping[Trial, Metrics]) -> list[dict[str, Any]]:
    """Return a dict for each loss that was evaluated on the test images, with its name, config and test metrics.

    Args:
        rows: the value of "ranking" in choose_loss.json. It determines the calibration of each loss, so that no
            calibration is chosen on test images.
        results: metrics of each training on the test images.
    """
    found = []
    for candidate in dict.fromkeys(trial.candidate for trial in results):
        trials = _of(candidate, results)
        row = _row(candidate, trials, list(trials[0][NONE]))
        (own,) = (each for each in rows if each["name"] == candidate.name)
        row["calibrated"] = own["calibrated"] and {
            "label": own["calibrated"]["label"],
            "metrics": _metrics([trial[own["calibrated"]["label"]] for trial in trials], list(trials[0][NONE])),
        }
        found.append(row)
    return found


def choose_labels(trials: Sequence[Metrics], metric: str) -> tuple[list[str], str]:
    """Choose the calibration with the highest mean metric over the seeds: once for each seed, and once for all seeds.

    The choice for a seed uses only the metrics of the other seeds, because the metric of a calibration that was chosen
    on the same images would be too high. With a single seed, there are no other images, and the metric is too high. If
    several calibrations are equally good, the first one is chosen.

    Args:
        trials: metrics of S >= 1 trainings with the same loss, one for each seed, from the label of a calibration
            ("none" or, for example, "NorCal 0.6") to a dict of metrics. Each seed was evaluated on different images.
        metric: name of the metric to maximize, such as "AP".

    Returns:
        a list of S labels, one for each seed, and the label for all seeds.
    """
    values = np.array([[trial[label][metric] for label in trials[0]] for trial in trials], np.float64)
    values[~np.isfinite(values)] = -1
    labels = list(trials[0])
    others = values.sum(axis=0) - values if len(trials) > 1 else values
    return [labels[index] for index in others.argmax(axis=1)], labels[values.sum(axis=0).argmax()]


def _calibrated_row(
    cfg: CfgNode, candidate: Candidate, results: Mapping[Trial, Metrics], shown: Sequence[str], metric: str
) -> dict[str, Any]:
    trials = _of(candidate, results)
    row = _row(candidate, trials, shown)
    row["calibrated"] = None
    if len(trials[0]) > 1:
        labels, label = choose_labels(trials, metric)
        chosen = [trial[each] for trial, each in zip(trials, labels, strict=True)]
        config = dict(zip(*[iter(overrides_of(cfg, label))] * 2, strict=True))
        row["calibrated"] = {"label": label, "labels": labels, "config": config, "metrics": _metrics(chosen, shown)}
    return row


def _row(candidate: Candidate, trials: Sequence[Metrics], shown: Sequence[str]) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "loss": candidate.loss,
        "classifier": candidate.classifier,
        "config": candidate.overrides(),
        "metrics": _metrics([trial[NONE] for trial in trials], shown),
    }


def _of(candidate: Candidate, results: Mapping[Trial, Metrics]) -> list[Metrics]:
    return [metrics for trial, metrics in results.items() if trial.candidate is candidate]


def _metrics(found: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, list[float | None]]:
    return {name: [_number(each[name]) for each in found] for name in names}


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
