"""Test tools/calibrate.py: metrics equal those of evaluations, and parameters are chosen on other images."""

import json

import calibrate as tool
import pytest
import torch
from detectron2.evaluation import inference_on_dataset

from seesaw_d2.choosing import calibrate
from seesaw_d2.choosing.candidates import NONE, overrides_of
from seesaw_d2.choosing.image_sets import folds
from seesaw_d2.choosing.sweep import METRICS
from seesaw_d2.data import build_test_loader, register_datasets
from seesaw_d2.evaluation import build_evaluator
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train import load_config

NODE, LOSS = "MODEL.ROI_HEADS.CALIBRATION", "MODEL.ROI_BOX_HEAD.CLS_LOSS"
MODEL = (f"{LOSS}.NAME", "CrossEntropyLoss", f"{LOSS}.BACKGROUND", "class")
LINEAR = ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear")


@pytest.fixture
def weights(config_file, tmp_path):
    """Return the weights of a detector that finds a few objects by chance."""
    cfg = load_config(str(config_file), [*MODEL, *LINEAR])
    register_datasets(cfg)
    torch.manual_seed(0)
    model = build_model(cfg)
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.3)
    torch.nn.init.constant_(model.roi_heads.mask_head.predictor.bias, 10)  # masks fill their boxes
    path = tmp_path / "model.pth"
    torch.save({"model": model.state_dict()}, path)
    return path


@pytest.fixture
def run(config_file, weights, tmp_path):
    def call(*arguments, output="calibration", opts=LINEAR) -> int:
        command = ["--config-file", str(config_file), "--output", str(tmp_path / output), "--workers", "1"]
        return tool.main([*command, *arguments, *MODEL, *opts, "MODEL.WEIGHTS", str(weights)])

    return call


def read(tmp_path, output="calibration"):
    return json.loads((tmp_path / output / "calibration.json").read_text())


def metrics_of(results):
    """Return the metrics of an evaluation in the form of calibration.json."""
    return {key: None if results[key] != results[key] else results[key] for key in METRICS}


def evaluated(config_file, weights, *overrides, task="bbox"):
    cfg = load_config(
        str(config_file), [*MODEL, *LINEAR, "MODEL.WEIGHTS", str(weights), "TEST.LVIS_METRICS", "['fixed']", *overrides]
    )
    register_datasets(cfg)
    model = build_model(cfg).eval()
    model.load_state_dict(torch.load(weights)["model"])
    name = cfg.DATASETS.TEST[0]
    return inference_on_dataset(model, build_test_loader(cfg, name), build_evaluator(cfg, name))[task]


def test_evaluations_give_the_same_metrics(run, config_file, weights, tmp_path):
    assert run("--images", "8") == 0
    result = read(tmp_path)
    before = evaluated(config_file, weights)
    assert before["AP"] > 0
    assert result["before"] == pytest.approx(metrics_of(before), abs=0)
    for name, metrics in result["after"].items():
        ((value,), key) = result["chosen"][name], {"NorCal": "GAMMA", "FRACAL": "LAMBDA"}.get(name, "TAU")
        after = evaluated(config_file, weights, f"{NODE}.NAME", name, f"{NODE}.{key}", value)
        assert metrics == pytest.approx(metrics_of(after), abs=0)
        curve = {value: metrics["AP"] for value, metrics in result["curves"][name]}
        assert curve[value] == max(curve.values())
    assert set(result["after"]) == {"NorCal", "FRACAL", "LogitAdjustment", "TauNormalization"}
    assert result["choice"] == {"dataset": result["choice"]["dataset"], "images": 8, "seen": True}
    page = (tmp_path / "calibration/calibration.html").read_text()
    assert page.count("<svg") == 4
    assert "NorCal" in page


def test_an_alternative_of_norcal(run, config_file, weights, tmp_path):
    """Test an alternative of NorCal: the tool varies β, keeps the other keys, and prints them with the chosen value."""
    own = [f"{NODE}.NORCAL.FACTOR", "effective_number", f"{NODE}.NORCAL.NORMALIZE", "False"]
    keys = (*LINEAR, f"{NODE}.NAME", "NorCal", *own)
    assert run("--images", "4", "--calibrations", "NorCal", "--values", "0.87654321", opts=keys) == 0
    result = read(tmp_path)
    assert result["parameters"]["NorCal"] == "BETA"
    config = overrides_of(load_config(str(config_file), list(keys)), "NorCal 0.87654321")
    expected = {"NAME": "NorCal", "NORCAL.FACTOR": "effective_number", "NORCAL.BETA": "0.87654321"}
    expected["NORCAL.NORMALIZE"] = "False"
    assert dict(zip(*[iter(config)] * 2, strict=True)) == {f"{NODE}.{key}": each for key, each in expected.items()}
    after = evaluated(config_file, weights, *own, f"{NODE}.NAME", "NorCal", f"{NODE}.NORCAL.BETA", 0.87654321)
    assert result["after"]["NorCal"] == pytest.approx(metrics_of(after), abs=0)
    assert result["after"]["NorCal"] != result["before"]


def test_masks(run, config_file, weights, tmp_path):
    assert run("--images", "4", "--calibrations", "NorCal", "--values", "0.7", "--masks") == 0
    result = read(tmp_path)
    for name, overrides in {"none": [], "NorCal": [f"{NODE}.NAME", "NorCal", f"{NODE}.GAMMA", "0.7"]}.items():
        expected = evaluated(config_file, weights, *overrides, task="segm")
        assert result["masks"][name] == pytest.approx(metrics_of(expected), abs=0)
    assert result["masks"]["none"]["AP"] > 0
    assert run("--masks", output="other", opts=(*LINEAR, "MODEL.MASK_ON", "False")) == 2


def test_folds(run, tmp_path):
    """Test that each fold has the parameter that is best on the other folds, and that the last one is best on all."""
    assert run("--folds", "2", "--calibrations", "NorCal", "--values", "0.5,2") == 0
    result, rows = read(tmp_path), (tmp_path / "calibration/sweep.jsonl").read_text().splitlines()
    found = {row["label"]: [metrics["AP"] for metrics in row["metrics"]] for row in map(json.loads, rows)}
    best = [max((0.5, 2), key=lambda value: found[f"NorCal {value:g}"][part]) for part in range(3)]
    assert result["chosen"]["NorCal"] == best
    assert not (tmp_path / "calibration/choice").exists()


def test_another_number_of_folds_in_the_same_folder(run, tmp_path):
    """Test that metrics of other folds are not reused, also those of a file without the images of its metrics."""
    arguments = ("--calibrations", "NorCal", "--values", "0.5,2")
    assert run("--folds", "3", *arguments, output="other") == 0
    assert run("--folds", "2", *arguments) == 0
    path = tmp_path / "calibration/sweep.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({key: row[key] for key in ("label", "metrics")}) + "\n" for row in rows))
    assert run("--folds", "3", *arguments) == 0
    assert {**read(tmp_path), "options": None} == {**read(tmp_path, "other"), "options": None}


def test_folds_are_disjoint_and_complete():
    parts = folds(range(10), 3)
    assert sorted(key for part in parts for key in part) == list(range(10))
    assert sorted(map(len, parts)) == [3, 3, 4]


def test_an_interrupted_sweep_goes_on(run, tmp_path, monkeypatch, capsys):
    assert run("--images", "4", "--calibrations", "NorCal", output="whole") == 0
    evaluate, calls = calibrate.sweep.__globals__["compute"], []

    def stopped(stored, work):
        calls.append(work)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(stored, work)

    monkeypatch.setitem(calibrate.sweep.__globals__, "compute", stopped)
    assert run("--images", "4", "--calibrations", "NorCal") == 130
    assert len((tmp_path / "calibration/sweep.jsonl").read_text().splitlines()) == 3
    with open(tmp_path / "calibration/sweep.jsonl", "a") as file:
        file.write('{"label": "NorCal 0.')
    assert run("--images", "4", "--calibrations", "NorCal") == 0
    assert len(calls) == 4 + 8 + 2  # 11 candidates without 3 stored ones, and the test set before and after
    whole, parts = read(tmp_path, "whole"), read(tmp_path)
    assert {**whole, "options": None} == {**parts, "options": None}


def test_changed_counts_are_not_mixed_with_stored_results(run, tmp_path, capsys):
    path = tmp_path / "counts.csv"
    rows = [f"{index},{index},{index},1" for index in range(1, 7)]
    path.write_text("\n".join(["category_id,image_count,instance_count,fractal_dimension", *rows]))
    keys = (*LINEAR, f"{NODE}.NAME", "NorCal", f"{NODE}.COUNTS", str(path))
    arguments = ("--images", "4", "--calibrations", "NorCal", "--values", "0.5")
    assert run(*arguments, opts=keys) == 0
    assert run(*arguments, opts=keys) == 0
    path.write_text(path.read_text().replace("1,1,1", "1,100,100"))
    capsys.readouterr()
    assert run(*arguments, opts=keys) == 2
    assert "annotations" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes(run, tmp_path):
    assert run("--images", "4", "--calibrations", "NorCal") == 0
    assert run("--images", "4", "--calibrations", "NorCal", "--workers", "2", output="two") == 0
    assert {**read(tmp_path), "options": None} == {**read(tmp_path, "two"), "options": None}


@pytest.mark.parametrize(
    ("arguments", "named", "value"),
    [
        (("--calibrations", "NorCall"), "--calibrations", "NorCall"),
        (("--calibrations", "NorCal", "--values", "-1"), "--values", "-1"),
        (("--values", "a"), "--values", "a"),
        (("--values", "1,1"), "--values", "1.0, 1.0"),
        (("--metric", "mAP"), "--metric", "mAP"),
        (("--images", "0"), "--images", "0"),
        (("--workers", "0"), "workers", "0"),
        (("--folds", "1"), "--folds", "1"),
        (("--choose-on", "nothing"), "--choose-on", "nothing"),
        (("--choose-on", "data0_val"), "--choose-on", "val"),
        (("--folds", "2", "--choose-on", "data0_val"), "--folds", "val"),
        (("--folds", "2", "--images", "7"), "--images", "7"),
    ],
)
def test_wrong_arguments(run, tmp_path, capsys, config_file, arguments, named, value):
    test_set = load_config(str(config_file)).DATASETS.TEST[0]
    assert run(*(test_set if each == "data0_val" else each for each in arguments)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert named in line
    assert value in line
    assert not (tmp_path / "calibration").exists()


def test_a_foreign_folder(run, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("x")
    assert run(output="mine") == 2
    assert "mine" in capsys.readouterr().err
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert run("--images", "4", "--calibrations", "NorCal") == 0
    assert run("--images", "5", "--calibrations", "NorCal") == 2
    assert "images of the choice" in capsys.readouterr().err


def test_what_the_model_refuses(run, tmp_path, capsys):
    normed = ("MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "NormedLinear")
    assert run("--images", "4", opts=normed) == 0
    assert "NormedLinear" in read(tmp_path)["refused"]["TauNormalization"]
    assert run("--images", "4", "--calibrations", "TauNormalization", output="other", opts=normed) == 2
    assert "NormedLinear" in capsys.readouterr().err
    assert read(tmp_path)["best"] in {NONE, *read(tmp_path)["after"]}
