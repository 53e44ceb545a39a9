"""Test that results files stay equal when written and read, and errors for invalid results files."""

import dataclasses
import json

import numpy as np
import orjson
import pytest

from seesaw_d2.errors import DataError
from seesaw_d2.evaluation.detections import Detections
from seesaw_d2.evaluation.results_files import detections_from_results, read_results, write_results
from tests.evaluation.generated import generate

TRUTH, RESULTS = generate(3)


def test_round_trip(tmp_path, monkeypatch):
    monkeypatch.setattr("seesaw_d2.evaluation.results_files.CHUNK", 7)
    path = tmp_path / "new/results.json"
    write_results(str(path), detections_from_results(RESULTS, TRUTH, "results"))
    assert json.loads(path.read_text()) == RESULTS
    again = read_results(str(path), TRUTH)
    np.testing.assert_array_equal(again.scores, [item["score"] for item in RESULTS])
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_json_of_columns_is_that_of_the_dicts():
    detections = detections_from_results(RESULTS, TRUTH, "results")
    escaped = detections.counts[0] + b"\\0\\"  # a backslash can occur in a run-length encoding
    detections = dataclasses.replace(detections, counts=[escaped, *detections.counts[1:]])
    for part in (
        detections,
        detections[np.arange(1)],
        detections[np.arange(0)],
        dataclasses.replace(detections, boxes=None),
        dataclasses.replace(detections, sizes=None, counts=None),
    ):
        assert orjson.loads(part.to_json()) == part.to_results()


def test_empty_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("[]")
    detections = read_results(str(path), TRUTH)
    assert len(detections) == 0
    write_results(str(path), detections)
    assert path.read_text() == "[]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 4711}, r'"image_id".*832 to 1000.* 4711\b'),
        ({"category_id": 1}, r'"category_id".*: 1\b'),
        ({"category_id": "2"}, '"category_id".* detection 1'),
        ({"score": float("nan")}, '"score".* detection 1'),
        ({"score": None}, '"score".* detection 1'),
        ({"bbox": [1, 2, 3]}, '"bbox": .*4 .* detection 1'),
        ({"bbox": [1, 2, 3, float("inf")]}, '"bbox": .*4 .* detection 1'),
        ({"bbox": [1, 2, 3, 10**400]}, '"bbox": .*4 .* detection 1'),
        ({"score": 10**400}, '"score".* detection 1'),
        ({"segmentation": [[1, 2, 3, 4]]}, '"segmentation" of detection 1'),
        ({"segmentation": {"size": [100, 100], "counts": "abc"}}, '"segmentation" of detection 1'),
        (
            {"segmentation": {"size": [10, 10], "counts": "P[2"}},
            r'"segmentation" of detection 1.*\[100, 100\].*\[10, 10\]',
        ),
        (
            {"segmentation": {"size": [100.0, 100.0], "counts": "P[2"}},
            r'"segmentation" of detection 1.*\[100, 100\].*\[100\.0, 100\.0\]',
        ),
        ({"segmentation": {"size": [100, 100], "counts": "\ud800"}}, '"segmentation" of detection 1'),
        ({"segmentation": {"size": [100, 100], "counts": "T3"}}, r'"segmentation" of detection 1\b.* 10000 .* 100$'),
        # The run lengths 10010, -20, 10 have the right sum.
        (
            {"segmentation": {"size": [100, 100], "counts": "jh9\\O:"}},
            r'"segmentation" of detection 1\b.*negative',
        ),
    ],
)
def test_bad_detections_are_named(change, message):
    results = [RESULTS[0], {**RESULTS[1], **change}, RESULTS[2]]
    with pytest.raises(DataError, match=message):
        detections_from_results(results, TRUTH, "results.json")


@pytest.mark.parametrize("field", ["bbox", "segmentation"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_detection_that_lacks_a_field_of_the_others_is_named(field, index):
    results = [dict(item) for item in RESULTS[:3]]
    del results[index][field]
    with pytest.raises(DataError, match=rf'results.json: .*"{field}".* {index}\b'):
        detections_from_results(results, TRUTH, "results.json")
    only = [{key: value for key, value in item.items() if key != field} for item in RESULTS[:3]]
    assert len(detections_from_results(only, TRUTH, "results.json")) == 3


def test_parts_with_different_fields_are_not_concatenated():
    detections = detections_from_results(RESULTS[:3], TRUTH, "results")
    for other in (
        dataclasses.replace(detections, boxes=None),
        dataclasses.replace(detections, sizes=None, counts=None),
    ):
        with pytest.raises(ValueError, match=other.kind):
            Detections.concatenate([detections, other])
        assert Detections.concatenate([Detections.empty(masks=True), other]).kind == other.kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "results.json: .*an object"),
        ("[1]", "results.json: .* 0"),
        ("[{", "results.json: .*JSON"),
        ('[{"image_id": 1000}]', '"bbox".*"segmentation".* 0'),
        ('[{"image_id": 1000, "bbox": [1, 2, 3, 4]}]', '"category_id".* 0'),
        ('[{"score": NaN}]', "results.json: .*JSON"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_results(str(path), TRUTH)
    with pytest.raises(DataError, match="nowhere"):
        read_results(str(tmp_path / "nowhere.json"), TRUTH)
