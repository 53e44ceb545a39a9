"""Test that metrics of random datasets equal those of pycocotools (COCO) and lvis-api (LVIS) within 1e-9."""

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings

from seesaw_d2.data.records.annotation_files import check_annotations
from seesaw_d2.evaluation import evaluate_detections
from seesaw_d2.evaluation.description import evaluable_tasks
from seesaw_d2.evaluation.ground_truth_rules import file_frequency, lvis_ground_truth
from seesaw_d2.evaluation.results_files import detections_from_results
from tests.evaluation.random_sets import coco_sets, lvis_sets
from tests.evaluation.references import lvis_api_metrics, pycocotools_metrics

QUICK = settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
)
SLOW = settings(QUICK, max_examples=2000)


def check(data: dict, results: list[dict], reference) -> None:
    # Copy the data through JSON, as from a file, so that the reference has separate objects.
    file = check_annotations(json.loads(json.dumps(data)), "random.json")
    ground_truth = lvis_ground_truth(file, file_frequency(file))
    detections = detections_from_results(copy.deepcopy(results), ground_truth, "results")
    tasks = evaluable_tasks("random", file, detections, ("bbox", "segm"))
    without = [item for item in data["annotations"] if not item.get("segmentation") and not item.get("iscrowd")]
    assert tasks == (["bbox"] if without else ["bbox", "segm"])
    for task in tasks:
        expected, by_category = reference(data, results, task)
        for engine in ("hotcoco", "official"):
            metrics, rows = evaluate_detections(ground_truth, detections, task, engine=engine)
            for name, value in expected.items():
                np.testing.assert_allclose(metrics[name], value, rtol=0, atol=1e-9, err_msg=f"{engine} {task} {name}")
            assert [row["id"] for row in rows] == list(by_category)
            defined = [not math.isnan(row["AP"]) for row in rows]
            assert [row["val_instances"] > 0 for row in rows] == defined, f"{engine} {task}"
            found = [[row["AP"], row["AP50"], row["AP75"]] for row in rows]
            np.testing.assert_allclose(found, list(by_category.values()), rtol=0, atol=1e-9, err_msg=f"{engine} {task}")


def against_pycocotools(drawn):
    check(*drawn, pycocotools_metrics)


def against_lvis_api(drawn):
    if drawn[1]:  # lvis-api does not support empty results
        check(*drawn, lvis_api_metrics)


test_coco = seed(0)(QUICK(given(coco_sets())(against_pycocotools)))
test_lvis = seed(0)(QUICK(given(lvis_sets())(against_lvis_api)))
test_many_coco = pytest.mark.slow(seed(1)(SLOW(given(coco_sets())(against_pycocotools))))
test_many_lvis = pytest.mark.slow(seed(1)(SLOW(given(lvis_sets())(against_lvis_api))))
