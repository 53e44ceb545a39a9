"""Test the logs that this project adds to Detectron2's, in the files of a training."""

import json
import sys
import types

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seesaw_d2.train import main


def test_counts_and_predictions_are_logged_and_change_nothing(config_file):
    weights = []
    for name, period in (("with", "10"), ("without", "0")):
        run = config_file.parent / name
        options = [
            "SOLVER.MAX_ITER",
            "20",
            "VIS_PERIOD",
            period,
            "OUTPUT_DIR",
            str(run),
            "TEST.EVAL_PERIOD",
            "0",
            "SOLVER.IMS_PER_BATCH",
            "1",
        ]
        assert main(["--config-file", str(config_file), *options, "SEED", "3"]) == 0
        weights.append(torch.load(run / "model_final.pth", weights_only=True)["model"])
        lines = [json.loads(line) for line in (run / "metrics.json").read_text().splitlines()]
        found = next(line for line in lines if "class_counts/total" in line)
        assert found["class_counts/total"] > 0
        shares = [found[f"class_counts/share_{group}"] for group in ("rare", "common", "frequent")]
        assert sum(shares) == pytest.approx(1)
        events = EventAccumulator(str(run), size_guidance={"images": 0})
        events.Reload()
        assert ("predictions/0" in events.Tags()["images"]) == (period == "10")
        assert {"loss_cls_classes", "fast_rcnn/class_accuracy"} <= set(events.Tags()["scalars"])
    for key, value in weights[0].items():
        assert torch.equal(value, weights[1][key]), key


def test_weights_and_biases(config_file, monkeypatch):
    logged, finished = [], []
    run = types.SimpleNamespace(
        log=lambda values, step: logged.append((step, values)), finish=lambda: finished.append(1)
    )
    started = {}
    fake = types.ModuleType("wandb")
    fake.init = lambda **options: started.update(options) or run
    fake.Image = lambda array: ("image", array.shape)
    fake.__spec__ = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    options = ["LOGGING.WANDB_PROJECT", "glyphs", "VIS_PERIOD", "2"]
    assert main(["--config-file", str(config_file), *options]) == 0
    assert started["project"] == "glyphs"
    assert started["name"] == "run"
    names = {name for _, values in logged for name in values}
    assert {"total_loss", "loss_cls_classes", "predictions/0"} <= names
    assert finished


def test_a_missing_package_is_named(config_file, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["--config-file", str(config_file), "LOGGING.WANDB_PROJECT", "glyphs"]) == 2
    assert "LOGGING.WANDB_PROJECT: the value 'glyphs' needs the package wandb" in capsys.readouterr().err
    assert not (config_file.parent / "run").exists()
