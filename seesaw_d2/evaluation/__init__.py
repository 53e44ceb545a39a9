"""Evaluate detectors with the metrics of LVIS and COCO, image classifiers, and semantic segmentation."""

from seesaw_d2.evaluation.build import build_evaluator
from seesaw_d2.evaluation.classification_evaluator import ClassificationEvaluator
from seesaw_d2.evaluation.detection_metrics import METRICS
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.error_metrics import relabelled, without_background, without_confusions
from seesaw_d2.evaluation.evaluate import average_precision, check_options, evaluate_detections
from seesaw_d2.evaluation.ground_truth_rules import lvis_ground_truth
from seesaw_d2.evaluation.lvis_evaluator import LongTailEvaluator
from seesaw_d2.evaluation.metric_registry import METRIC_REGISTRY, register_metric
from seesaw_d2.evaluation.results_files import read_results

__all__ = [
    "METRICS",
    "METRIC_REGISTRY",
    "ClassificationEvaluator",
    "Detections",
    "LongTailEvaluator",
    "average_precision",
    "build_evaluator",
    "check_options",
    "evaluate_detections",
    "lvis_ground_truth",
    "read_results",
    "register_metric",
    "relabelled",
    "without_background",
    "without_confusions",
]
