"""Evaluation: LVIS's metrics for detections and masks, accuracy by shots for labelled images."""

from seesaw_d2.evaluation.build import build_evaluator
from seesaw_d2.evaluation.classification_evaluator import ClassificationEvaluator
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.evaluate import check_options, evaluate_detections
from seesaw_d2.evaluation.ground_truth import lvis_ground_truth
from seesaw_d2.evaluation.lvis_evaluator import LongTailEvaluator
from seesaw_d2.evaluation.metrics import METRICS, average_precision
from seesaw_d2.evaluation.results_files import read_results

__all__ = [
    "METRICS",
    "ClassificationEvaluator",
    "Detections",
    "LongTailEvaluator",
    "average_precision",
    "build_evaluator",
    "check_options",
    "evaluate_detections",
    "lvis_ground_truth",
    "read_results",
]
