"""Test ``tools/choose_loss.py``: results, resuming, reuse of stored features, and error messages."""

import json

import pytest
import torch
from choose_loss import main
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from seesaw_d2.choosing import loss_comparison
from seesaw_d2.choosing.loss_results import choose_labels
from seesaw_d2.choosing.stored_proposals import StoredProposals
from seesaw_d2.train import load_config

LOSSES = ("--losses", "CrossEntropyLoss", "LogitAdjustedLoss")
FEW = (*LOSSES, "--seeds", "2", "--iterations", "3", "--workers", "1")
DIGITS = "configs/digits/ce.yaml"
COUNTS = "MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.CLASS_COUNTS"


def weights(config, folder, *overrides) -> list[str]:
    torch.manual_seed(0)
    model = build_model(load_config(str(config), ["MODEL.DEVICE", "cpu", *overrides]))
    DetectionCheckpointer(model, str(folder)).save("model")
    return ["MODEL.WEIGHTS", str(folder / "model.pth")]


@pytest.fixture
def run(config_file, tmp_path):
    plain = ("MODEL.ROI_HEADS.NMS_THRESH_TEST", "0.6")
    common = [*weights(config_file, tmp_path, *plain), *plain]

    def call(*flags, overrides=()):
        return main(["--config-file", str(config_file), *FEW, *flags, *common, *overrides])

    return call


def trainings(folder):
    return [json.loads(line) for line in (folder / "trainings.jsonl").read_text().splitlines()]


def test_a_detector(run, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "run/choose_loss"
    assert run() == 0
    result = json.loads((folder / "choose_loss.json").read_text())
    rows = trainings(folder)
    # 4 losses (2 kinds of background and 2 values of τ), 2 classifiers, 2 seeds. Then one training for the test set.
    assert [row["fold"] for row in rows] == [0, 1] * 8 + [None, None]
    assert {row["loss"] for row in rows} == {"CrossEntropyLoss", "LogitAdjustedLoss"}
    assert len(result["ranking"]) == 4
    means = [sum(row["metrics"]["AP"]) for row in result["ranking"]]
    assert means == sorted(means, reverse=True)
    assert result["config"] == result["ranking"][0]["config"] == result["test"][0]["config"]
    assert {"AP", "APr", "APc", "APf", "AP_fixed"} <= result["test"][0]["metrics"].keys()
    printed = capsys.readouterr().out
    assert result["ranking"][0]["config"]["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"] in printed
    assert "calibrated: AP" in printed
    held_out = StoredProposals(folder / "features/held_out")
    assert held_out.column("features0").dtype == "float16"
    # The same call trains nothing again. A call with other options reuses the features.
    before = (folder / "features/test/features0.bin").stat().st_mtime_ns
    monkeypatch.setattr(loss_comparison, "run_trial", None)
    assert run() == 0
    monkeypatch.undo()
    lines = (folder / "trainings.jsonl").read_text().splitlines(keepends=True)
    (folder / "trainings.jsonl").write_text("".join(lines[:5]) + '{"half": ')
    (folder / "features/train/.DS_Store").touch()  # a file of another program is no stage of a cascade
    assert run() == 0
    assert [row["metrics"] for row in trainings(folder)] == [row["metrics"] for row in rows]
    assert run("--iterations", "2") == 0
    assert len(trainings(folder)) == 2 * len(rows)
    assert (folder / "features/test/features0.bin").stat().st_mtime_ns == before
    capsys.readouterr()
    assert run(overrides=("MODEL.PIXEL_STD", "[60.0, 64.0, 64.0]")) == 2
    assert "features" in capsys.readouterr().err


def numbers(values):
    """Return a list of values, with None instead of NaN."""
    return [None if value != value else value for value in values]


def metrics_of(row, label):
    """Return the metrics that the table shows for one training, rounded."""
    return numbers(row["metrics"][label][name] for name in ("AP", "APr"))


def total(metrics):
    """Return a dict from label to the sum of AP."""
    return {label: sum(each[label]["AP"] for each in metrics) for label in metrics[0]}


def test_calibration_is_chosen_on_other_images(run, tmp_path, capsys):
    """For each seed, test that the parameter is chosen on the held-out images of the other seeds."""
    assert run("--calibrations", "NorCal,LogitAdjustment", "--seeds", "3") == 0
    folder = tmp_path / "run/choose_loss"
    result = json.loads((folder / "choose_loss.json").read_text())
    labels = {
        "none",
        *(f"NorCal {value}" for value in (0.2, 0.5, 0.8)),
        *(f"LogitAdjustment {v}" for v in (0.2, 0.5, 1)),
    }
    assert {frozenset(row["metrics"]) for row in trainings(folder)} == {frozenset(labels)}
    for row in result["ranking"]:
        mine = [each for each in trainings(folder) if each["trial"].startswith(f"{row['name']};")]
        held_out = sorted((each for each in mine if each["fold"] is not None), key=lambda each: each["seed"])
        found = row["calibrated"]
        for seed, label in enumerate(found["labels"]):
            others = {
                key: sum(each["metrics"][key]["AP"] for each in held_out if each["seed"] != seed) for key in labels
            }
            assert others[label] == max(others.values())
            of_seed = [found["metrics"][name][seed] for name in ("AP", "APr")]
            assert of_seed == metrics_of(held_out[seed], label)
        totals = total([each["metrics"] for each in held_out])
        assert totals[found["label"]] == pytest.approx(max(totals.values()))
    (tested,) = result["test"]
    label = result["ranking"][0]["calibrated"]["label"]
    assert tested["calibrated"]["label"] == label
    rows = [row for row in trainings(folder) if row["fold"] is None]
    assert tested["calibrated"]["metrics"]["AP"] == [row["metrics"][label]["AP"] for row in rows]
    assert "calibrated: AP" in capsys.readouterr().out


def test_labels_of_the_best_calibration():
    values = {"none": [5.0, 1.0, 1.0], "a": [1.0, 3.0, 1.0], "b": [2.0, 2.0, float("nan")]}
    trials = [{label: {"AP": each[seed]} for label, each in values.items()} for seed in range(3)]
    assert choose_labels(trials, "AP") == (["a", "none", "none"], "none")
    assert choose_labels(trials[1:2], "AP") == (["a"], "a")


def test_calibrations_with_one_seed_or_without_calibrations(run, tmp_path, capsys):
    assert run("--calibrations", "none") == 0
    assert "calibrated" not in capsys.readouterr().out
    assert run("--seeds", "1") == 0
    for row in json.loads((tmp_path / "run/choose_loss/choose_loss.json").read_text())["ranking"]:
        mine = [each["metrics"] for each in trainings(tmp_path / "run/choose_loss") if len(each["metrics"]) > 1]
        same = [each for each in mine if each["none"]["AP"] == row["metrics"]["AP"][0]]
        assert row["calibrated"]["metrics"]["AP"][0] in [max(total([each]).values()) for each in same]
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("calibrated: AP", "With one seed"))


@pytest.mark.slow
def test_two_processes(run, tmp_path):
    """Test that the trainings and the ranking do not depend on the number of processes."""
    found = []
    for workers in ("1", "2"):
        assert run("--workers", workers, "--output", str(tmp_path / workers)) == 0
        result = json.loads((tmp_path / workers / "choose_loss.json").read_text())
        rows = [{**row, "seconds": 0} for row in trainings(tmp_path / workers)]
        found.append((result["ranking"], result["candidates"], result["test"], rows))
    assert found[0] == found[1]


def test_an_image_classifier(tmp_path, capsys):
    pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
    settings = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "run")]
    # the overrides follow directly after the names of the losses
    assert main(["--config-file", DIGITS, *FEW, *LOSSES, *weights(DIGITS, tmp_path), *settings]) == 0
    result = json.loads((tmp_path / "run/choose_loss/choose_loss.json").read_text())
    assert result["metric"] == "classes"
    assert len(result["ranking"]) == 4
    assert result["test"][0]["metrics"].keys() == {"classes", "overall", "many", "medium", "few"}
    labels = {"none", "NorCal 0.2", "NorCal 0.5", "NorCal 0.8"}
    assert {frozenset(row["metrics"]) for row in trainings(tmp_path / "run/choose_loss")} == {frozenset(labels)}
    assert all(row["calibrated"]["label"] in labels for row in result["ranking"])
    assert result["test"][0]["calibrated"]["metrics"].keys() == result["test"][0]["metrics"].keys()
    assert main(["--config-file", DIGITS, *FEW, *weights(DIGITS, tmp_path), *settings, "--metric"]) == 2


@pytest.mark.parametrize("model", ["digits", "detector"])
def test_diverged_trainings_count_as_0(run, tmp_path, caplog, model):
    """With a learning rate of 1e38, all weights become NaN or infinite."""
    overrides = ("SOLVER.BASE_LR", "1e38")
    if model == "digits":
        pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
        settings = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "run"), *overrides]
        assert main(["--config-file", DIGITS, *FEW, *weights(DIGITS, tmp_path), *settings]) == 0
    else:
        assert run(overrides=overrides) == 0
    rows = trainings(tmp_path / "run/choose_loss")
    assert all(row["diverged"] for row in rows)
    assert all(value in (0, None) for row in rows for value in numbers(row["metrics"]["none"].values()))
    assert any("CrossEntropyLoss" in text and "diverged" in text for text in caplog.messages)


def test_counts_in_another_order_are_refused(tmp_path, capsys):
    pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
    config, path = DIGITS.replace("ce.yaml", "seesaw.yaml"), tmp_path / "counts.json"
    path.write_text(json.dumps({"class_counts": list(range(1, 11)), "categories": list("9876543210")}))
    settings = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "run"), COUNTS, str(path)]
    assert main(["--config-file", config, *FEW, *LOSSES, *weights(config, tmp_path), *settings]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in (str(path), "index 0 ", "'9'", "'0'")), error
    assert not (tmp_path / "run/choose_loss").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--losses", "SeesawLos"), ("--losses", "SeesawLoss")),
        (("--seeds", "0"), ("--seeds", "0")),
        (("--calibrations", "NorCall"), ("--calibrations", "NorCall")),
        (("--metric", "APx"), ("--metric", "APx")),
        (("--losses", "SoftmaxEqualizationLoss"), ("--losses", "SoftmaxEqualizationLoss")),
    ],
)
def test_mistakes(run, tmp_path, capsys, flags, words):
    assert run(*flags) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert not (tmp_path / "run/choose_loss/features").exists()


def test_a_metric_without_objects(run, tmp_path, capsys):
    """Test APf of a dataset without frequent categories. The trainings are kept for a call with another metric."""
    assert run("--metric", "APf", "--losses", "CrossEntropyLoss") == 2
    error = capsys.readouterr().err
    assert all(word in error for word in ("--metric", "APf is undefined"))
    assert trainings(tmp_path / "run/choose_loss")
    assert not (tmp_path / "run/choose_loss/choose_loss.json").exists()


def test_heads_whose_features_depend_on_the_logits(run, capsys):
    overrides = ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False")
    assert run(overrides=overrides) == 2
    assert "MODEL." in capsys.readouterr().err


def test_test_images_that_also_choose(run, config_file, capsys):
    train = load_config(str(config_file)).DATASETS.TRAIN[0]
    assert run(overrides=("DATASETS.TEST", f"('{train}',)")) == 2
    assert "DATASETS.TEST" in capsys.readouterr().err


def test_another_number_of_seeds_in_the_same_process(tmp_path):
    """Test a notebook that calls the program again with more seeds, which are held-out folds of other images."""
    pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
    common = ["--config-file", DIGITS, *FEW, "--losses", "CrossEntropyLoss", "--calibrations", "none"]
    settings = ["MODEL.DEVICE", "cpu", *weights(DIGITS, tmp_path)]
    rows = []
    for output, seeds in (("again", "2"), ("again", "5"), ("new", "5")):
        assert main([*common, "--output", str(tmp_path / output), "--seeds", seeds, *settings]) == 0
        rows.append([(row["trial"], row["metrics"]) for row in trainings(tmp_path / output)])
    again, new = ({trial: numbers(found["none"].values()) for trial, found in each} for each in rows[1:])
    assert len(new) == 2 * 5 + 5  # two classifiers on held-out images, and the better one on test images
    assert {trial: again[trial] for trial in new} == new
