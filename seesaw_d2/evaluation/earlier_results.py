"""Remove the metrics of an earlier evaluation before a new evaluation replaces its detections.

Without this, an evaluation that is killed while it computes AP leaves new detections beside old metrics.
"""

import contextlib
import logging
import os
from collections.abc import Iterable

from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators
from detectron2.utils import comm

from seesaw_d2.evaluation.box_classification import CLASSIFICATION_FILE

logger = logging.getLogger(__name__)


def remove_files(folder: str, names: Iterable[str]) -> list[str]:
    """Remove the files ``names`` in a folder, and return the names of those that existed."""
    removed = []
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, name))
            removed.append(name)
    return removed


def replacing_results(folder: str, evaluator: DatasetEvaluator) -> DatasetEvaluators:
    """Return an evaluator that removes the results of an earlier evaluation when it has processed the last image.

    These results are ``results.json`` and the accuracy on ground-truth boxes. An evaluation that is interrupted before
    its last image keeps them.

    Args:
        folder: results folder of the dataset.
        evaluator: evaluator that writes files to this folder.
    """
    return DatasetEvaluators([_EarlierResults(folder), evaluator])


class _EarlierResults(DatasetEvaluator):
    def __init__(self, folder: str):
        self._folder = folder

    def evaluate(self) -> None:
        removed = comm.is_main_process() and remove_files(self._folder, ("results.json", CLASSIFICATION_FILE))
        if removed:
            logger.info("%s: removed the results of an earlier evaluation: %s", self._folder, ", ".join(removed))
