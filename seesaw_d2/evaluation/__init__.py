"""Evaluation of detections and masks: LVIS's metrics for every data set."""

from seesaw_d2.evaluation.build import build_evaluator
from seesaw_d2.evaluation.ground_truth import lvis_ground_truth
from seesaw_d2.evaluation.lvis_evaluator import LongTailEvaluator
from seesaw_d2.evaluation.metrics import METRICS, average_precision

__all__ = ["METRICS", "LongTailEvaluator", "average_precision", "build_evaluator", "lvis_ground_truth"]
