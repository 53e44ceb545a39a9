"""Evaluate stored proposals in parallel with several calibrations, which rescale the class scores."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from tqdm import tqdm

from seesaw_d2.choosing.candidates import Candidate
from seesaw_d2.choosing.detecting import Limits, Scoring, batch_detections
from seesaw_d2.choosing.evaluated_images import EvaluatedImages
from seesaw_d2.choosing.json_lines import append_line, complete_lines, cut_incomplete_line
from seesaw_d2.choosing.stored_proposals import StoredProposals
from seesaw_d2.data.records.registration import register_datasets
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.utils.worker_processes import worker_map

# For each calibration, these metrics are computed in percent and stored in calibration.json. Tables use this order.
METRICS = ("AP", "APr", "APc", "APf", "AP_fixed", "APr_fixed", "APc_fixed", "APf_fixed")
Metrics = dict[str, float]
ImageIds = tuple[int, ...]


@dataclass(frozen=True)
class Stored:
    """Location of the stored proposals of a dataset, and the settings for evaluating these proposals.

    Attributes:
        cfg: config of the detector.
        dataset: name of the registered dataset, with ground truth.
        folder: folder of the stored proposals.
        limits: score threshold, NMS threshold and maximum number of detections per image.
    """

    cfg: CfgNode
    dataset: str
    folder: str
    limits: Limits


@dataclass(frozen=True, eq=False)
class Work:
    """Task for a worker process: compute detections with one or more score functions, and evaluate them.

    Attributes:
        scorings: functions that compute scores from the stored logits.
        results: the evaluations to compute. Each evaluation is a list of pairs (index of a score function, image ids).
            The score function of a pair is used for the images of this pair. The metrics are computed over the images
            of all pairs. Example: ``[[(0, ids)]]`` evaluates the first score function on the images ``ids``.
    """

    scorings: Sequence[Scoring]
    results: Sequence[Sequence[tuple[int, ImageIds]]]


def compute(stored: Stored, work: Work) -> list[Metrics]:
    """Compute the metrics of each evaluation in ``work.results``. Worker processes call this function.

    Args:
        stored: location of the stored proposals, and evaluation settings.
        work: the score functions, and the images to evaluate with each of them.

    Returns:
        for each evaluation, a dict from metric to percent. Metrics of frequency groups without objects are NaN.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # each core runs its own process, so more threads would compete for the cores
    try:
        register_datasets(stored.cfg)
        proposals = StoredProposals(stored.folder)
        images, logits = list(proposals), proposals.logits
        found = [batch_detections(images, logits, scoring, stored.limits) for scoring in work.scorings]
        return [_metrics(stored, found, parts) for parts in work.results]
    finally:
        torch.set_num_threads(threads)


def _metrics(stored: Stored, found: Sequence[Detections], parts: Sequence[tuple[int, ImageIds]]) -> Metrics:
    chosen = [found[index][np.isin(found[index].image_ids, ids)] for index, ids in parts]
    metrics = _evaluated(stored, tuple(key for _, ids in parts for key in ids)).metrics(Detections.concatenate(chosen))
    return {name: metrics[name] for name in METRICS}


_read_once: dict[tuple, EvaluatedImages] = {}


def _evaluated(stored: Stored, image_ids: ImageIds) -> EvaluatedImages:
    """Return the evaluation of the images. The last result is cached, to avoid reading the ground truth repeatedly."""
    key = (stored.folder, stored.dataset, image_ids)
    if key not in _read_once:
        _read_once.clear()
        _read_once[key] = EvaluatedImages(stored.cfg, stored.dataset, image_ids)
    return _read_once[key]


def run_all(stored: Stored, works: Sequence[Work], workers: int, title: str) -> Iterator[list[Metrics]]:
    """Run ``compute`` for each task in parallel, and yield the metrics of each task in order, with a progress bar.

    Args:
        stored: location of the stored proposals, and evaluation settings.
        works: the tasks.
        workers: maximum number of processes.
        title: text of the progress bar.
    """
    _read_once.clear()  # with one worker, this process may have evaluated the same images with another config
    workers = min(workers, max(len(works), 1))
    with worker_map(workers, fork=False) as parallel:
        results = parallel(compute, [stored] * len(works), works)
        yield from tqdm(results, total=len(works), desc=title, unit="setting", disable=None)


def sweep(
    stored: Stored, candidates: Sequence[Candidate], subsets: Sequence[ImageIds], path: str | Path, workers: int
) -> dict[str, list[Metrics]]:
    """Evaluate each candidate (a calibration with one parameter value) on each subset of the images, in parallel.

    Args:
        stored: location of the stored proposals, and evaluation settings.
        candidates: the calibrations to evaluate, each with each value of its parameter.
        subsets: image ids of each subset.
        path: file to which this function appends the metrics of each candidate. Candidates that the file already
            contains with the same subsets, after an interruption, are skipped.
        workers: number of processes.

    Returns:
        a dict from ``Candidate.label``, such as "NorCal 0.6", to a list of metrics, one dict for each subset.
    """
    cut_incomplete_line(path)
    images = hashlib.sha256(str([tuple(ids) for ids in subsets]).encode()).hexdigest()
    finished = {row["label"]: row["metrics"] for row in complete_lines(path) if row.get("subsets") == images}
    missing = [each for each in candidates if each.label not in finished]
    works = [Work([each.scoring], [[(0, ids)] for ids in subsets]) for each in missing]
    for candidate, metrics in zip(missing, run_all(stored, works, workers, "calibrations"), strict=True):
        finished[candidate.label] = metrics
        append_line(path, {"label": candidate.label, "subsets": images, "metrics": metrics})
    return {each.label: finished[each.label] for each in candidates}
