"""Test AP with one kind of error corrected (TEST.LVIS_METRICS "errors")."""

import numpy as np
import pytest

from seesaw_d2.evaluation import evaluate_detections, relabelled, without_background, without_confusions
from seesaw_d2.evaluation.ground_truth import GroundTruth
from seesaw_d2.evaluation.results_files import detections_from_results
from tests.evaluation.generated import generate, rle

A, B, FAR = (2, 2, 10, 10), (20, 2, 10, 10), (2, 25, 10, 10)
PLANE = rle(*A)["size"]


def item(box, category, **fields):
    return {"image_id": 1, "category_id": category, "bbox": list(box), "segmentation": rle(*box), **fields}


def data(objects):
    annotations = [item(box, label, id=i, area=100, **rest) for i, (box, label, rest) in enumerate(objects, 1)]
    image = {
        "id": 1,
        "height": PLANE[0],
        "width": PLANE[1],
        "neg_category_ids": [1, 2],
        "not_exhaustive_category_ids": [],
    }
    categories = [{"id": key, "name": str(key), "frequency": group} for key, group in ((1, "r"), (2, "f"))]
    return GroundTruth.from_data({"images": [image], "annotations": annotations, "categories": categories})


def found(ground_truth, rows):
    results = [item(box, category, score=score) for box, category, score in rows]
    return detections_from_results(results, ground_truth, "results")


@pytest.mark.parametrize("engine", ["hotcoco", "official"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_each_correction_by_hand(iou_type, engine):
    """Test category 2: a confusion (0.9) and background (0.85) have higher scores than the right detection (0.8)."""
    ground_truth = data([(A, 1, {}), (B, 2, {})])
    detections = found(ground_truth, [(A, 2, 0.9), (FAR, 2, 0.85), (B, 2, 0.8)])
    metrics, _ = evaluate_detections(ground_truth, detections, iou_type, engine=engine, extra=["errors"])
    endings = ("", "_relabelled", "_no_confusion", "_no_background", "_ranked")
    assert [metrics[f"APr{ending}"] for ending in endings] == pytest.approx([0, 100, 0, 0, 0])
    assert [metrics[f"APf{ending}"] for ending in endings] == pytest.approx([100 / 3, 50, 50, 50, 100])
    assert [metrics[f"AP{ending}"] for ending in endings] == pytest.approx([100 / 6, 75, 25, 25, 50])


def test_one_detection_of_an_object_stays_after_relabelling():
    ground_truth = data([(A, 1, {}), (B, 2, {})])
    detections = found(ground_truth, [(A, 1, 0.3), (A, 2, 0.9), (B, 1, 0.5), (FAR, 1, 0.2)])
    kept = relabelled(ground_truth, detections, "bbox")
    assert list(zip(kept.category_ids.tolist(), kept.scores.tolist(), strict=True)) == [(1, 0.9), (2, 0.5), (1, 0.2)]
    assert detections.category_ids.tolist() == [1, 2, 1, 1]  # the detections are not changed


def test_a_right_category_keeps_its_object():
    """Test two objects in one place. The detection matches the object of its category, although another fits better."""
    ground_truth = data([(A, 1, {}), ((2, 2, 12, 10), 2, {})])
    kept = relabelled(ground_truth, found(ground_truth, [(A, 2, 0.9), (A, 1, 0.8)]), "bbox")
    assert kept.category_ids.tolist() == [2, 1]


def test_ignored_objects_are_no_background_and_give_no_category():
    ground_truth = data([(A, 1, {"ignore": 1}), (B, 2, {})])
    detections = found(ground_truth, [(A, 2, 0.9), (FAR, 2, 0.5)])
    assert without_background(ground_truth, detections, "bbox").scores.tolist() == [0.9]
    assert without_confusions(ground_truth, detections, "bbox").scores.tolist() == [0.5]
    assert relabelled(ground_truth, detections, "bbox").category_ids.tolist() == [2, 2]


@pytest.mark.parametrize("seed", [1, 2])
def test_ranked_is_an_upper_bound_and_corrections_repeat(seed):
    ground_truth, results = generate(seed, crowded=seed == 2)
    detections = detections_from_results(results, ground_truth, "results")
    for iou_type in ("bbox", "segm"):
        metrics, _ = evaluate_detections(ground_truth, detections, iou_type, extra=["errors"])
        assert metrics["AP_ranked"] >= metrics["AP"] > 0
        assert min(metrics["AP_no_background"], metrics["AP_no_confusion"]) >= metrics["AP"] - 1e-9
        for correct in (relabelled, without_confusions, without_background):
            once = correct(ground_truth, detections, iou_type)
            twice = correct(ground_truth, once, iou_type)
            assert len(once) < len(detections)
            np.testing.assert_array_equal(once.category_ids, twice.category_ids)
