"""Test special cases of COCO format: 64-bit ids, areas that are not positive, crowds, polygons of one point."""

import copy
import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from seesaw_d2.data import read_annotations
from seesaw_d2.data.records.catalog import read_annotation_file
from seesaw_d2.errors import DataError
from seesaw_d2.evaluation import build_evaluator
from seesaw_d2.evaluation.evaluate import evaluate_file
from seesaw_d2.evaluation.ground_truth_rules import file_frequency
from tests.data.toy import HEIGHT, WIDTH, square, toy_data, write
from tests.evaluation.predictions import evaluate
from tests.evaluation.random_sets import encoded
from tests.shared import shared_path

ENGINES = ("hotcoco", "official")
LISTS = {"image": "images", "category": "categories", "annotation": "annotations"}


def found(item: dict, shift: float = 0, **fields) -> dict:
    """Return a detection of the object, moved to the right."""
    x, y, w, h = item["bbox"]
    keys = ("image_id", "category_id")
    return {**{key: item[key] for key in keys}, "bbox": [x + shift, y, w, h], "score": 0.5, **fields}


def results_of(data: dict) -> list[dict]:
    """Return a detection of each object; every other one is moved by 3 pixels."""
    return [found(item, shift=index % 2 * 3, score=1 - index / 100) for index, item in enumerate(data["annotations"])]


def run(folder, data: dict, results: list[dict], engine: str = "hotcoco") -> dict:
    paths = [write(folder, content, f"{name}.json") for name, content in (("truth", data), ("found", results))]
    return evaluated(paths[1], paths[0], engine)


def evaluated(results: str, annotations: str, engine: str = "hotcoco") -> dict:
    """Return the metrics of a results file by task."""
    file = read_annotations(annotations)
    return evaluate_file(results, file, file_frequency(file), engine=engine).metrics


def renumbered(data: dict, results: list[dict], key: str, start: int) -> tuple[dict, list[dict]]:
    """Renumber images, categories or annotations from ``start`` on, in the order of their ids."""
    data, results = copy.deepcopy(data), copy.deepcopy(results)
    entries = data[LISTS[key]]
    new = {old: start + rank for rank, old in enumerate(sorted(item["id"] for item in entries))}
    for item in entries:
        item["id"] = new[item["id"]]
    for item in [*data["annotations"], *results] if key != "annotation" else ():
        item[f"{key}_id"] = new[item[f"{key}_id"]]
    return data, results


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("start", [-(2**63), -2, 0, 2**31 - 2, 2**53 - 1, 2**63 - 20])
def test_ids_change_nothing(tmp_path, engine, start):
    data, results = toy_data(), results_of(toy_data())
    expected = run(tmp_path, data, results)["bbox"]
    assert 10 < expected["AP"] < 90
    for key in LISTS:
        changed, moved = renumbered(data, results, key, start)
        assert run(tmp_path, changed, moved, engine)["bbox"] == pytest.approx(expected, abs=1e-10, nan_ok=True), key


@pytest.mark.parametrize("start", [-(2**63), -2, 2**53 - 1, 2**63 - 20])
def test_ids_change_nothing_after_a_training(toy, start):
    expected = evaluate(build_evaluator(*toy()[:2]), toy()[2], shift=2.0)
    data = toy_data()
    for key in LISTS:
        data, _ = renumbered(data, [], key, start)
    cfg, name, records = toy(data)
    metrics = evaluate(build_evaluator(cfg, name), records, shift=2.0)
    for task in ("bbox", "segm"):
        assert 10 < expected[task]["AP"] < 95
        for metric in ("AP", "AP50", "AP75", "APs"):
            assert metrics[task][metric] == pytest.approx(expected[task][metric], abs=1e-10)


@pytest.mark.parametrize("key", LISTS)
def test_ids_beyond_64_bits_are_refused(tmp_path, key):
    data = toy_data()
    data, results = renumbered(data, results_of(data), key, 2**63 - 1)
    with pytest.raises(DataError, match=rf"truth\.json.*{2**63}"):
        run(tmp_path, data, results)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mask", ["run lengths", "polygon", "none"])
def test_what_is_inside_a_crowd_is_ignored(tmp_path, engine, mask):
    """Test four detections that each cover a quarter of a crowd, with an IoU below 0.5."""
    data = toy_data()
    results = [found(item, score=0.2) | {"segmentation": toy_mask(item["bbox"])} for item in data["annotations"]]
    crowd = {"id": 300, "image_id": 12, "category_id": 3, **square(2, 22, 16), "iscrowd": 1}
    if mask == "run lengths":
        crowd["segmentation"] = toy_mask(crowd["bbox"])
    if mask == "none":
        del crowd["segmentation"]
    data["annotations"].append(crowd)
    for x, y in ((2, 22), (10, 22), (2, 30), (10, 30)):
        box = [x, y, 8, 8]
        inside = {"image_id": 12, "category_id": 3, "bbox": box, "segmentation": toy_mask(box), "score": 0.9}
        results.append(inside)
    metrics = run(tmp_path, data, results, engine)
    assert list(metrics) == ["bbox", "segm"]
    assert metrics["bbox"]["AP"] == metrics["segm"]["AP"] == pytest.approx(100)
    for item in data["annotations"]:
        item["iscrowd"] = 0
    assert run(tmp_path, data, results, engine)["bbox"]["AP"] < 90


@pytest.mark.parametrize("crowds", [1, None])
def test_a_file_of_crowds_alone_is_reported(tmp_path, caplog, crowds):
    data = toy_data()
    for item in data["annotations"][:crowds] if crowds else data["annotations"]:
        item["iscrowd"] = 1
    run(tmp_path, data, [found(data["annotations"][0])])
    assert (f"all {len(data['annotations'])} objects" in caplog.text) == (crowds is None)


def toy_mask(box: list[float]) -> dict:
    x, y, w, h = box
    plane = np.zeros((HEIGHT, WIDTH))
    plane[y : y + h, x : x + w] = 1
    return encoded(plane) | {"size": [HEIGHT, WIDTH]}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("polygons", [[[12, 12]], [[5, 5, 20, 20]], [[]], [[5, 5, 20]], [[1, 1], [2, 2], [3, 3]]])
def test_objects_without_a_usable_polygon_count(tmp_path, caplog, engine, polygons):
    """Test that box evaluation counts these objects, and mask evaluation ignores them and detections in their boxes."""
    data = toy_data()
    results = [found(item) | {"segmentation": toy_mask(item["bbox"])} for item in data["annotations"]]
    for item in data["annotations"][:2]:
        item["segmentation"] = polygons
    metrics = run(tmp_path, data, results, engine)
    assert metrics["bbox"]["AP"] == metrics["segm"]["AP"] == pytest.approx(100)
    assert "annotation ids 100, 101: " in caplog.text
    metrics = run(tmp_path, data, results[2:], engine)
    assert metrics["bbox"]["AP"] < 90
    assert metrics["segm"]["AP"] == pytest.approx(100)


def test_half_a_point_is_not_read(tmp_path):
    data = toy_data()
    results = [found(item) | {"segmentation": toy_mask(item["bbox"])} for item in data["annotations"]]
    for item in data["annotations"]:
        item["segmentation"][0].append(7)
        item["segmentation"].insert(0, [1, 1])
    assert run(tmp_path, data, results)["segm"]["AP"] == pytest.approx(100)


def test_ignore_is_not_coco_s(tmp_path, caplog):
    data = toy_data()
    expected = run(tmp_path, data, results_of(data)[1:])["bbox"]
    data["annotations"][0]["ignore"] = 1
    assert run(tmp_path, data, results_of(data)[1:])["bbox"] == pytest.approx(expected, nan_ok=True)
    assert '"ignore"' in caplog.text


@pytest.mark.parametrize("engine", ENGINES)
def test_a_training_evaluates_as_the_tool_does(toy, tmp_path, engine):
    """Test data with a crowd without a mask, areas of 0, and a polygon of one point."""
    data = toy_data()
    data["annotations"].append({"id": 300, "image_id": 12, "category_id": 3, "bbox": [30, 5, 20, 25], "iscrowd": 1})
    for item in data["annotations"][1:4]:
        item["area"] = 0
    cfg, name, records = toy(data, TEST__LVIS_ENGINE=engine)
    data["annotations"][6]["segmentation"] = [[12, 12]]
    with open(MetadataCatalog.get(name).json_file, "w") as file:
        json.dump(data, file)
    trained = evaluate(build_evaluator(cfg, name), records, shift=3.0)
    results = tmp_path / "out/inference" / name / "lvis_instances_results.json"
    found = evaluated(str(results), MetadataCatalog.get(name).json_file, engine)
    for task in ("bbox", "segm"):
        assert 5 < trained[task]["AP"] < 95
        for metric in ("AP", "AP50", "AP75", "APs"):
            assert trained[task][metric] == pytest.approx(found[task][metric], abs=1e-10)


def test_data_that_detectron2_registers_follows_coco(tmp_path):
    data = toy_data()
    data["annotations"].append({"id": 300, "image_id": 12, "category_id": 3, **square(2, 22, 16), "iscrowd": 1})
    inside = [{"image_id": 12, "category_id": 3, "bbox": [2 + x, 22, 8, 8], "score": 0.9} for x in (0, 8)]
    results = write(tmp_path, [*(found(item) for item in data["annotations"][:-1]), *inside], "found.json")
    register_coco_instances("coco_by_detectron2", {}, write(tmp_path, data, "truth.json"), str(tmp_path))
    try:
        assert evaluate_file(results, read_annotation_file("coco_by_detectron2"), None).metrics["bbox"][
            "AP"
        ] == pytest.approx(100)
    finally:
        DatasetCatalog.remove("coco_by_detectron2")
        MetadataCatalog.remove("coco_by_detectron2")


def test_detections_of_an_image_that_is_not_in_the_file(toy):
    cfg, name, records = toy()
    with pytest.raises(DataError, match="2000"):
        evaluate(build_evaluator(cfg, name), [*records, {**records[0], "image_id": 2000}])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("truth", "results", "expected"),
    [
        ("large_ids/coco_image", "large_ids/results_image", 29.66),
        ("large_ids/coco_annotation", "large_ids/results_annotation", 29.66),
        *((f"area_zero/{name}", "area_zero/results", 29.66) for name in ("all_zero", "half_zero", "minus_one")),
        ("area_zero/share_of_image", "area_zero/results", 29.66),
        ("crowd_in_evaluation/val", "crowd_in_evaluation/results", 100),
        ("point_polygons_in_evaluation/val", "point_polygons_in_evaluation/results", 100),
    ],
)
def test_reported(truth, results, expected, engine):
    paths = [str(shared_path(f"reports/{name}.json")) for name in (results, truth)]
    metrics = evaluated(*paths, engine)
    assert {task: round(values["AP"], 2) for task, values in metrics.items()} == dict.fromkeys(metrics, expected)
    with open(paths[0]) as file:
        assert ("segm" in metrics) == ("segmentation" in json.load(file)[0])
