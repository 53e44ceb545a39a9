"""Test the detection report: content, sections without data, and invalid inputs."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import report
import yaml

from seesaw_d2.config.loading import load_config
from seesaw_d2.evaluation.ground_truth import GroundTruth
from seesaw_d2.evaluation.results_files import detections_from_results
from seesaw_d2.report.confusions import outcomes
from seesaw_d2.report.page import _training_counts

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("first", "image"), [(1, 1), (-2, -1), (2**53, 2**63 - 1), (-(2**63), -(2**63))])
def test_answers(first, image):
    one, two = first, first + 1
    box = [10, 10, 20, 20]
    images = [{"id": image, "height": 99, "width": 99, "neg_category_ids": [], "not_exhaustive_category_ids": []}]
    categories = [{"id": key, "name": str(key), "frequency": "r"} for key in (one, two)]
    boxes = [box, [60, 60, 20, 20], [10, 60, 20, 20]]
    annotations = [
        {"id": i + 1, "image_id": image, "category_id": one, "bbox": b, "area": 400} for i, b in enumerate(boxes)
    ]
    truth = GroundTruth.from_data({"images": images, "categories": categories, "annotations": annotations})
    found = [(one, box, 0.5), (two, box, 0.6), (one, boxes[1], 0.9), (two, boxes[1], 0.3), (one, boxes[2], 0.01)]
    results = [{"image_id": image, "category_id": c, "bbox": b, "score": s} for c, b, s in found]
    outcome = outcomes(truth, detections_from_results(results, truth, ""))
    np.testing.assert_array_equal(outcome.answers, [two, one, -1])
    np.testing.assert_array_equal(outcome.answered, [True, True, False])
    groups = outcome.groups({"r": {one, two}})["r"]
    assert [groups[key] for key in ("right", "wrong", "none")] == pytest.approx([100 / 3] * 3)
    assert outcome.confusions({one}) == [(one, two, 1, 3)]


@pytest.mark.parametrize("count", ["many", -1, None, [1]])
def test_training_counts_are_numbers(count):
    """The annotation file of the test set can contain any value."""
    categories = [{"id": 1, "image_count": 3, "instance_count": 5}, {"id": 2, "image_count": 4, "instance_count": 6}]
    truth = GroundTruth.from_data({"images": [], "categories": categories, "annotations": []})
    assert _training_counts(load_config(""), truth, [2, 1]) == {"images": [4, 3], "instances": [6, 5]}
    categories[0]["image_count"] = count
    assert _training_counts(load_config(""), truth, [2, 1]) is None


def test_two_runs_and_a_plain_one(runs, capsys):
    path = runs / "page.html"
    folders = [str(runs / name) for name in ("confused", "good", "plain")]
    assert report.main([*folders, "--output", str(path)]) == 0
    text, printed = path.read_text(), capsys.readouterr().out
    assert "plain: counts: " in printed
    assert re.findall(r'data-m data-v="([\d.]*)"', text)[:9:9] == ["0.0"]
    assert re.search(r"confused: TEST.CLASSIFICATION_ACCURACY", text)
    assert "Class counts" in text
    assert not re.search(r"<table(?![^>]* data-csv=)", text)
    assert re.search(r'class="headline">\w+ 0\.0 → ', text)
    heads = re.findall(r"<th scope=\"col\">(AP\w*)</th>", text)
    assert heads[:4] == ["APr", "APc", "APf", "AP"]
    charts = re.findall(r"<figcaption>([^<]*)</figcaption><svg.*?</svg>", text, re.DOTALL)
    labels = re.findall(
        r"<figcaption>[^<]*</figcaption><svg.*?<text class=.axis.*?<text class=.axis.*?>(.*?)<", text, re.DOTALL
    )
    assert len(charts) == len(labels) > 8
    assert not [chart for chart, label in zip(charts, labels, strict=True) if chart.lower() == label.lower()]
    confusions = text[text.index("Most frequent confusions") : text.index("Ground-truth boxes as proposals")]
    assert confusions.count("data:image/jpeg;base64,") > 0
    # The page loads nothing: it has no addresses to load, and a policy that forbids loading.
    assert not re.search(r"(src|href|url\()\s*=?\s*[\"']?(https?:|//)", text)
    assert "default-src 'none'" in text
    entries = json.loads(re.search(r'id="gallery-data">(.*?)</script>', text, re.DOTALL).group(1))
    assert len(entries) == 6
    assert all(entry["runs"][0]["missed"] and not entry["runs"][1]["missed"] for entry in entries)


def test_lines_are_at_the_thresholds_of_the_runs(runs):
    found = []
    for thresholds in ([2, 4], [1, 3]):
        for name in ("good", "confused"):
            config = yaml.safe_load((runs / name / "config.yaml").read_text())
            config["DATASETS"]["FREQUENCY_THRESHOLDS"] = thresholds
            (runs / name / "config.yaml").write_text(yaml.safe_dump(config))
        command = [str(runs / "confused"), str(runs / "good"), "--output", str(runs / "page.html"), "--images", "0"]
        assert report.main(command) == 0
        text = (runs / "page.html").read_text()
        assert f"{thresholds[0]} and {thresholds[1]} training images" in text
        found.append(re.findall(r'class="guide" x1="([\d.]+)"', text))
    assert found[0] != found[1]
    assert all(found)


def test_runs_that_differ_in_more_than_the_method_are_said_to(runs):
    path = runs / "page.html"
    for changed in (False, True):
        if changed:
            config = runs / "good/config.yaml"
            found = yaml.safe_load(config.read_text())
            found["SOLVER"]["MAX_ITER"] = 4321
            found["DATASETS"]["REGISTER"][0]["SAMPLE"] = 3
            found["DATASETS"]["REGISTER"].append({"NAME": "unused"})
            config.write_text(yaml.safe_dump(found))
        assert report.main([str(runs / "confused"), str(runs / "good"), "--output", str(path)]) == 0
        text = path.read_text().replace("<wbr>", "")
        assert ('class="warning"' in text) == changed
    warning = text[text.index('class="warning"') : text.index('id="results-title"')]
    assert re.findall(r"<th scope=\"row\">(.*?)</th>", warning) == ["DATASETS.REGISTER", "SOLVER.MAX_ITER"]
    assert "4321" in warning
    assert "data-csv" in warning
    assert "unused" not in warning


def test_results_of_an_evaluation_with_other_settings_are_noted(runs, caplog):
    (record,) = [
        path.parent / "evaluation_settings.json" for path in (runs / "good").rglob("lvis_instances_results.json")
    ]
    record.write_text(json.dumps({"TEST.DETECTIONS_PER_IMAGE": ["300", "77"]}))
    folders = [str(runs / name) for name in ("confused", "good")]
    assert report.main([*folders, "--output", str(runs / "page.html"), "--images", "0"]) == 0
    text = (runs / "page.html").read_text().replace("<wbr>", "")
    note = re.search(r'class="warning".*?</table>', text, re.DOTALL).group()
    assert "good" in note
    assert re.findall(r"<t[hd] (?:scope=.row.|class=.text.)>(.*?)</t", note) == [
        "TEST.DETECTIONS_PER_IMAGE",
        "300",
        "77",
    ]
    assert str(record) in caplog.text
    record.unlink()


def test_architectures_that_differ_are_noted_apart_from_the_settings(runs):
    """Test that the value for "auto" is compared, and that Detectron2's heads ignore the keys of the classifier."""
    head = "MODEL.ROI_BOX_HEAD."
    background, classifier, heads = f"{head}CLS_LOSS.BACKGROUND", f"{head}CLS_PREDICTOR.NAME", "MODEL.ROI_HEADS.NAME"
    mask, backbone, loss = "MODEL.ROI_MASK_HEAD.NAME", "MODEL.BACKBONE.NAME", f"{head}CLS_LOSS.NAME"
    plain = {heads: "StandardROIHeads", classifier: "NormedLinear", background: "auto"}
    ours = {heads: "SeesawROIHeads", loss: "CrossEntropyLoss", background: "auto", classifier: "Linear"}
    path = runs / "page.html"
    for first, second, expected in (
        (ours, {**ours, loss: "SeesawLoss"}, {background: ["class", "objectness"]}),
        ({**ours, loss: "SeesawLoss"}, {**ours, background: "objectness"}, {}),
        ({**ours, loss: "PairwiseClassBalance", f"{head}CLS_LOSS.PCB.LOSS": "CrossEntropyLoss"}, ours, {}),
        (ours, {**ours, classifier: "NormedLinear"}, {classifier: ["Linear", "NormedLinear"]}),
        (ours, plain, {heads: ["SeesawROIHeads", "StandardROIHeads"]}),
        (ours, {**ours, mask: "NormedMaskHead"}, {mask: ["MaskRCNNConvUpsampleHead", "NormedMaskHead"]}),
        ({**ours, backbone: "a"}, {**ours, backbone: "b"}, {backbone: ["a", "b"]}),
    ):
        for name, keys in (("confused", first), ("good", second)):
            config = runs / name / "config.yaml"
            found = yaml.safe_load(config.read_text())
            found["MODEL"]["ROI_MASK_HEAD"]["NAME"] = "MaskRCNNConvUpsampleHead"
            found["MODEL"]["BACKBONE"]["NAME"] = "same"
            for key, value in keys.items():
                *parents, last = key.split(".")
                reduce(dict.__getitem__, parents, found)[last] = value
            config.write_text(yaml.safe_dump(found))
        folders = [str(runs / name) for name in ("confused", "good")]
        assert report.main([*folders, "--output", str(path), "--images", "0"]) == 0
        text = path.read_text().replace("<wbr>", "")
        assert 'class="warning"' not in text
        note = re.search(r'class="note".*?</table>', text, re.DOTALL)
        cells = re.findall(r"<t[hd] (?:scope=.row.|class=.text.)>(.*?)</t", note.group() if note else "")
        assert {cells[i]: cells[i + 1 : i + 3] for i in range(0, len(cells), 3)} == expected


def test_marks_of_several_runs_name_their_run(runs):
    path = runs / "page.html"
    assert report.main([str(runs / "confused"), str(runs / "good"), "--output", str(path)]) == 0
    marks = re.findall(
        r"<(?:rect|circle|polyline) class=\"run[01]\"[^>]*>(.*?)</(?:rect|circle|polyline)>", path.read_text()
    )
    assert len(marks) > 20
    assert all(re.match(r"<title>(confused|good): ", mark) for mark in marks)


def test_a_run_with_results_alone(runs):
    for name in ("metrics.json", "model_final.pth"):
        (runs / "good" / name).unlink()
    assert report.main([str(runs / "good"), "--images", "0"]) == 0
    text = (runs / "good/report.html").read_text()
    assert 'src="data:image/jpeg' not in text
    for name in ("metrics.json", "model_final.pth", "log.txt"):
        assert f"good: {name}" in text


def test_unknown_frequency_groups(runs):
    """Test that the page names no frequency group if DATASETS.TRAIN, which defines the groups, is empty."""
    config = runs / "plain/config.yaml"
    found = yaml.safe_load(config.read_text())
    found["DATASETS"] |= {"TRAIN": [], "FREQUENCY_THRESHOLDS": [2, 5]}
    config.write_text(yaml.safe_dump(found))
    assert report.main([str(runs / "plain")]) == 0
    text = (runs / "plain/report.html").read_text()
    assert "which are unknown for this dataset" in text
    assert all(words in text for words in ("Most frequent confusions, all categories", "<figcaption>All categories<"))
    answers = text[text.index("Predicted categories of objects") : text.index("Ground-truth boxes as proposals")]
    charts = re.findall(r"<svg.*?</svg>", answers, re.DOTALL)
    assert len(charts) == 3
    assert all(">all<" in chart and "frequent" not in chart for chart in charts)


def test_a_plain_run_on_data_that_its_own_code_registered(runs, config_file):
    """Test --config-file with DATASETS.REGISTER for a run whose config does not have this key."""
    config = runs / "plain/config.yaml"
    found = yaml.safe_load(config.read_text())
    found["DATASETS"].pop("REGISTER", None)
    config.write_text(yaml.safe_dump(found))

    def run(*arguments):
        command = [sys.executable, report.__file__, str(runs / "plain"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    refused = run()
    assert refused.returncode == 2
    assert "DATASETS.REGISTER" in refused.stderr
    assert not (runs / "plain/report.html").exists()
    assert run("--config-file", str(config_file)).returncode == 0
    assert "Predicted categories of objects" in (runs / "plain/report.html").read_text()


@pytest.mark.parametrize(
    ("spoil", "arguments", "words"),
    [
        (lambda run: shutil.rmtree(run / "inference"), [], "good lvis_instances_results.json"),
        (lambda run: next(run.glob("inference/*/")).rename(run / "inference/other"), [], "good other"),
        (lambda run: (run / "config.yaml").unlink(), [], "good config.yaml --dataset"),
        (lambda run: (run / "config.yaml").write_text("{}"), [], "good DATASETS.TEST --dataset"),
        (lambda run: (run / "config.yaml").write_text("a: [1"), [], "config.yaml YAML"),
        (lambda run: shutil.rmtree(run), [], "good"),
        (lambda run: None, ["--dataset", "nowhere"], "nowhere"),
        (lambda run: None, ["--names", "a", "b"], "--names 1 a, b"),
    ],
)
def test_wrong_turns_are_named_and_write_nothing(runs, capsys, spoil, arguments, words):
    spoil(runs / "good")
    page = runs / "page.html"
    assert report.main([str(runs / "good"), "--output", str(page), *arguments]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words.split())
    assert not page.exists()
