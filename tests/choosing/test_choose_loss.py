"""``tools/choose_loss.py``: the result, an interruption, reuse of features, and mistakes."""

import json

import pytest
import torch
from choose_loss import main
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from seesaw_d2.choosing import loss_comparison
from seesaw_d2.choosing.stored_proposals import StoredProposals
from seesaw_d2.train import load_config

LOSSES = ("--losses", "CrossEntropyLoss", "LogitAdjustedLoss")
FEW = (*LOSSES, "--seeds", "2", "--iterations", "3", "--workers", "1")
DIGITS = "configs/digits/ce.yaml"


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
    # Two backgrounds of cross-entropy and two values of τ, two classifiers, two seeds; then one on the test set.
    assert [row["fold"] for row in rows] == [0, 1] * 8 + [None, None]
    assert {row["loss"] for row in rows} == {"CrossEntropyLoss", "LogitAdjustedLoss"}
    assert len(result["ranking"]) == 4
    means = [sum(row["metrics"]["AP"]) for row in result["ranking"]]
    assert means == sorted(means, reverse=True)
    assert result["config"] == result["ranking"][0]["config"] == result["test"][0]["config"]
    assert {"AP", "APr", "APc", "APf", "AP_fixed"} <= result["test"][0]["metrics"].keys()
    assert result["ranking"][0]["config"]["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME"] in capsys.readouterr().out
    held_out = StoredProposals(folder / "features/held_out")
    assert held_out.column("features0").dtype == "float16"

    # The same call trains nothing again, and other options reuse the features.
    before = (folder / "features/test/features0.bin").stat().st_mtime_ns
    monkeypatch.setattr(loss_comparison, "run_trial", None)
    assert run() == 0
    monkeypatch.undo()
    lines = (folder / "trainings.jsonl").read_text().splitlines(keepends=True)
    (folder / "trainings.jsonl").write_text("".join(lines[:5]) + '{"half": ')
    assert run() == 0
    assert [row["metrics"] for row in trainings(folder)] == [row["metrics"] for row in rows]
    assert run("--iterations", "2") == 0
    assert len(trainings(folder)) == 2 * len(rows)
    assert (folder / "features/test/features0.bin").stat().st_mtime_ns == before
    capsys.readouterr()
    assert run(overrides=("MODEL.PIXEL_STD", "[60.0, 64.0, 64.0]")) == 2
    assert "features" in capsys.readouterr().err


def test_an_image_classifier(tmp_path, capsys):
    pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
    settings = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(tmp_path / "run")]
    assert main(["--config-file", DIGITS, *FEW, *weights(DIGITS, tmp_path), *settings]) == 0
    result = json.loads((tmp_path / "run/choose_loss/choose_loss.json").read_text())
    assert result["metric"] == "classes"
    assert len(result["ranking"]) == 4
    assert result["test"][0]["metrics"].keys() == {"classes", "overall", "many", "medium", "few"}
    assert main(["--config-file", DIGITS, *FEW, *weights(DIGITS, tmp_path), *settings, "--metric"]) == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--losses", "SeesawLos"), ("--losses", "SeesawLoss")),
        (("--seeds", "0"), ("--seeds", "0")),
        (("--metric", "APx"), ("--metric", "APx")),
        (("--losses", "SoftmaxEqualizationLoss"), ("--losses", "SoftmaxEqualizationLoss")),
    ],
)
def test_mistakes(run, tmp_path, capsys, flags, words):
    assert run(*flags) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert not (tmp_path / "run/choose_loss/features").exists()


def test_heads_whose_features_depend_on_the_logits(run, capsys):
    overrides = ("MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False")
    assert run(overrides=overrides) == 2
    assert "MODEL." in capsys.readouterr().err


def test_test_images_that_also_choose(run, config_file, capsys):
    train = load_config(str(config_file)).DATASETS.TRAIN[0]
    assert run(overrides=("DATASETS.TEST", f"('{train}',)")) == 2
    assert "DATASETS.TEST" in capsys.readouterr().err
