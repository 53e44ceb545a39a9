"""Test that each program in examples/ runs from another folder with the installed package, and prints its results."""

import json
import math
import re
import runpy
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def test_each_is_short_and_in_the_readme():
    listed = (EXAMPLES / "README.md").read_text()
    for path in EXAMPLES.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 100
        assert path.name in listed or path.parent.name in listed


@pytest.mark.slow
def test_a_detectron2_project(run_python, tmp_path):
    """Test a project with its own meta-architecture and dataset, which trains and evaluates."""
    output = run_python(EXAMPLES / "detectron2_project/train_shapes.py", "--output", "out", "--iterations", 10)
    assert re.search(r"bbox/AP [\d.]+, bbox/APr [\d.]+, bbox/APc [\d.]+, bbox/APf [\d.]+", output)
    assert "BrightnessFreeRCNN" in (tmp_path / "out/config.yaml").read_text()
    assert (tmp_path / "out/model_final.pth").is_file()
    assert (tmp_path / "out/inference/evaluation.json").is_file()


def test_your_own_loss(run_python, tmp_path):
    """Test that the factor reaches loss, scores and checkpoint: with factor 0, all 10 classes have probability 1/10."""
    config = ("--config-file", ROOT / "configs/digits/ce.yaml", "MODEL.DEVICE", "cpu", "OUTPUT_DIR", "out")
    schedule = ("SOLVER.EPOCHS", 0, "SOLVER.STEP_EPOCHS", "[]", "SOLVER.STEPS", "()", "SOLVER.MAX_ITER", 2)
    name = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "ScaledCrossEntropyLoss")
    run_python(EXAMPLES / "own_loss.py", "--factor", 0, *config, *schedule, *name)
    lines = [json.loads(line) for line in (tmp_path / "out/metrics.json").read_text().splitlines()]
    losses = [line["total_loss"] for line in lines if "total_loss" in line]
    assert losses == pytest.approx([math.log(10)] * len(losses), abs=1e-6)
    assert losses
    predictions = (tmp_path / "out/inference/digits_test/predictions.csv").read_text().splitlines()
    assert predictions[0].endswith(",confidence")
    assert {float(line.split(",")[-1]) for line in predictions[1:]} == {0.1}
    recorded = torch.load(tmp_path / "out/model_final.pth")["score_settings"].values()
    assert any("ScaledCrossEntropyLoss" in text and "factor 0" in text for text in recorded)


def test_a_pytorch_loop(capsys):
    runpy.run_path(str(EXAMPLES / "pytorch_loop.py"), run_name="__main__")
    rare = re.findall(r"^(.+): accuracy [\d.]+, rare classes ([\d.]+)$", capsys.readouterr().out, re.MULTILINE)
    assert float(dict(rare)["Seesaw Loss"]) > float(dict(rare)["cross-entropy"]) + 3


@pytest.mark.slow
def test_torchvisions_mask_rcnn_trains(run_python):
    output = run_python(EXAMPLES / "torchvision_mask_rcnn.py", "--iterations", 3)
    counts = [int(count) for count in re.search(r"\[(.+)\]", output).group(1).split(",")]
    assert counts[0] > 0
    assert counts[-1] > counts[0]  # background has the most proposals


def test_transformers_mask2former_trains(monkeypatch, capsys):
    pytest.importorskip("transformers", reason='needs the extra "transformers"')
    monkeypatch.setattr("sys.argv", ["transformers_mask2former.py", "--iterations", "2"])
    runpy.run_path(str(EXAMPLES / "transformers_mask2former.py"), run_name="__main__")
    counts = [int(count) for count in re.search(r"\[(.+)\]", capsys.readouterr().out).group(1).split(",")]
    assert sum(counts[:-1]) == 2 * 4 * 3  # one object in each of 4 images, 3 decoder layers
    assert counts[-1] == 9 * sum(counts[:-1])


def test_timms_classifier_trains(monkeypatch, capsys):
    pytest.importorskip("timm", reason='needs the extra "timm"')
    monkeypatch.setattr("sys.argv", ["timm_classifier.py", "--epochs", "1"])
    runpy.run_path(str(EXAMPLES / "timm_classifier.py"), run_name="__main__")
    output = capsys.readouterr().out
    assert re.search(r"^Seesaw Loss: accuracy [\d.]+, rare classes [\d.]+$", output, re.MULTILINE)
    counts = [int(count) for count in re.search(r"\[(.+)\]", output).group(1).split(",")]
    assert sum(counts) == 18 * 32
    assert counts[0] > counts[2] > counts[-1]


def test_deformable_detr_trains(monkeypatch, capsys):
    pytest.importorskip("transformers", reason='needs the extra "transformers"')
    monkeypatch.setattr("sys.argv", ["deformable_detr.py", "--iterations", "2"])
    runpy.run_path(str(EXAMPLES / "deformable_detr.py"), run_name="__main__")
    output = capsys.readouterr().out
    losses = [float(value) for value in re.findall(r"loss_ce ([\d.]+)", output)]
    assert len(losses) == 2
    assert all(0 < value < 10 for value in losses)  # the loss would be 32 if each sigmoid started from 1/2
    assert "EqualizationLoss" in output
