"""Test that both evaluation engines give the same curves and the same thirteen metrics."""

import copy

import numpy as np
import pytest
from lvis import LVISResults

from seesaw_d2.compat import lvis_eval_class
from seesaw_d2.data import read_annotations
from seesaw_d2.evaluation import Detections, average_precision, evaluate_detections
from seesaw_d2.evaluation.detection_metrics import DetectionResults, average_precision_fixed, lvis_metrics
from seesaw_d2.evaluation.ground_truth import NO_MASK
from seesaw_d2.evaluation.ground_truth_rules import lvis_ground_truth
from seesaw_d2.evaluation.matching_engines import hotcoco_curves, official_curves
from seesaw_d2.evaluation.results_files import detections_from_results
from tests.evaluation.generated import generate, perturbed, rle
from tests.shared import shared_path

NAMES = {"AR": "AR@300", "ARs": "ARs@300", "ARm": "ARm@300", "ARl": "ARl@300"}


def thirteen(ground_truth, results, iou_type, max_dets):
    """Return the thirteen metrics of lvis-api, which reads the results itself."""
    field = {"bbox": "bbox", "segm": "segmentation"}[iou_type]
    results = [{key: item[key] for key in ("image_id", "category_id", "score", field)} for item in results]
    truth = copy.deepcopy(ground_truth)
    evaluation = lvis_eval_class()(truth, LVISResults(truth, results, max_dets=max_dets), iou_type)
    evaluation.run()
    return evaluation.get_results()


def check(ground_truth, results, iou_type, max_dets=300):
    detections = detections_from_results(results, ground_truth, "results")
    ours = average_precision(ground_truth, detections, iou_type, max_dets)
    theirs = thirteen(ground_truth, results, iou_type, max_dets)
    assert len(ours) == len(theirs) == 13
    for name, value in ours.items():
        expected = theirs[NAMES.get(name, name)]
        expected = expected * 100 if expected >= 0 else float("nan")
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12 * 100, err_msg=name)
    return ours


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_real_lvis_annotations(iou_type):
    file = read_annotations(str(shared_path("data/lvis_v0.5_val_100.json")))
    ground_truth = lvis_ground_truth(file, None)
    found = check(ground_truth, perturbed(ground_truth, seed=0), iou_type)
    assert 10 < found["AP"] < 90


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_generated(seed, iou_type):
    check(*generate(seed), iou_type, max_dets=300)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("max_dets", [300, 40])
def test_more_detections_than_count(iou_type, max_dets):
    ground_truth, results = generate(7, num_images=8, crowded=True)
    _, counts = np.unique([item["image_id"] for item in results], return_counts=True)
    assert counts.max() > 300 or max_dets < 300
    check(ground_truth, results, iou_type, max_dets)


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_no_detections(iou_type):
    ground_truth, _ = generate(1)
    empty = Detections.empty(masks=True)
    first, second = (engine(ground_truth, empty, iou_type) for engine in (hotcoco_curves, official_curves))
    np.testing.assert_array_equal(first.precision, second.precision)
    np.testing.assert_array_equal(first.recall, second.recall)
    assert average_precision(ground_truth, empty, iou_type)["AP"] == 0


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_fixed_has_no_limit_for_an_image(iou_type):
    """Test that AP_fixed counts all detections of images with 400 or more. Categories have fewer than 10,000."""
    ground_truth, results = generate(7, num_images=8, crowded=True)
    detections = detections_from_results(results, ground_truth, "results")
    engines = (hotcoco_curves, official_curves)
    first, second = (DetectionResults(ground_truth, detections, iou_type, engine, 10_000) for engine in engines)
    np.testing.assert_allclose(first.curves.precision, second.curves.precision, rtol=0, atol=1e-12)
    found = average_precision_fixed(first)
    assert found == pytest.approx(average_precision_fixed(second), abs=1e-9, nan_ok=True)
    assert found["AP_fixed"] == lvis_metrics(first)["AP"]
    limited = DetectionResults(ground_truth, detections, iou_type, hotcoco_curves, 20)
    assert abs(lvis_metrics(limited)["AP"] - found["AP_fixed"]) > 0.1


@pytest.mark.parametrize("coco", [True, False])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_no_limit_for_a_category_in_an_image(iou_type, coco):
    """Test an image whose only correct detection comes after 400 detections of the same category."""
    ground_truth, _ = generate(1, num_images=2)
    ground_truth.coco = coco
    item = next(item for item in ground_truth.dataset["annotations"] if item["area"] > 0)
    item["ignore"] = 0
    found = {"image_id": item["image_id"], "category_id": item["category_id"]}
    right = found | {"bbox": item["bbox"], "segmentation": item["segmentation"], "score": 0.1}
    wrong = found | {"bbox": [95, 95, 5, 5], "segmentation": rle(95, 95, 5, 5), "score": 0.5}
    detections = detections_from_results([*[wrong] * 400, right], ground_truth, "results")
    engines = (hotcoco_curves, official_curves)
    first, second = (DetectionResults(ground_truth, detections, iou_type, engine, 1000) for engine in engines)
    assert lvis_metrics(second)["AR"] > 0
    assert lvis_metrics(first) == pytest.approx(lvis_metrics(second), abs=1e-9, nan_ok=True)
    assert average_precision_fixed(first) == pytest.approx(average_precision_fixed(second), abs=1e-9, nan_ok=True)


def test_best_of_each_category():
    ground_truth, results = generate(2)
    detections = detections_from_results(results, ground_truth, "results")
    best = detections[detections.best_per_category(5)]
    for key in np.unique(detections.category_ids):
        expected = sorted((r["score"] for r in results if r["category_id"] == key), reverse=True)[:5]
        assert best.scores[best.category_ids == key].tolist() == expected


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
@pytest.mark.parametrize("engine", ["hotcoco", "official"])
def test_objects_that_do_not_count(engine, iou_type):
    """Test that ``val_instances`` is the number of objects in AP, without ignored objects and empty objects."""
    ground_truth, results = generate(3)
    objects = [item for item in ground_truth.dataset["annotations"] if item["category_id"] == 2]
    for item, change in zip(objects, [{"ignore": 1}, {"area": 0}, {"area": 1e11}, {NO_MASK: 1}], strict=False):
        item |= {"ignore": 0, "area": 400} | change
    assert len(objects) > 4
    for item in objects[4:]:
        item["ignore"] = 1
    detections = detections_from_results(results, ground_truth, "results")
    rows = {row["id"]: row for row in evaluate_detections(ground_truth, detections, iou_type, engine=engine)[1]}
    assert rows[2]["val_instances"] == (iou_type == "bbox")
    for key, row in rows.items():
        assert np.isnan(row["AP"]) == (row["val_instances"] == 0), key
