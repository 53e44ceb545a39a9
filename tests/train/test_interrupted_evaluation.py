"""Test that an evaluation that is killed while it computes AP leaves no results of an earlier evaluation."""

import pytest
import torch

from seesaw_d2.data import register_datasets
from seesaw_d2.evaluation import lvis_evaluator
from seesaw_d2.modeling.building import build_model
from seesaw_d2.train import load_config, main
from tests.train import lazy_configs


class Killed(BaseException):
    pass


def kill(monkeypatch, place, name):
    def killed(*args, **kwargs):
        raise Killed

    monkeypatch.setattr(place, name, killed)


@pytest.fixture
def evaluate(config_file, tmp_path):
    """Return a function that evaluates new random weights in the folder ``run``, which contains no config.yaml."""
    config = str(config_file)

    def call(seed: int) -> int:
        cfg = load_config(config)
        register_datasets(cfg)
        torch.manual_seed(seed)
        model = build_model(cfg)
        torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=0.3)
        path = tmp_path / f"{seed}.pth"
        torch.save({"model": model.state_dict()}, path)
        settings = ["MODEL.WEIGHTS", str(path), "TEST.CLASSIFICATION_ACCURACY", "True"]
        return main(["--config-file", config, "--eval-only", *settings])

    return call


def contents(folder) -> dict[str, bytes]:
    (results,) = folder.glob("inference/*")
    return {path.name: path.read_bytes() for path in results.iterdir()}


def test_killed_before_and_while_ap_is_computed(evaluate, tmp_path, monkeypatch):
    assert evaluate(0) == 0
    before = contents(tmp_path / "run")
    assert {"results.json", "evaluation.json", "categories.csv", "classification.json"} <= before.keys()
    with monkeypatch.context() as context:
        kill(context, lvis_evaluator.LongTailEvaluator, "process")
        with pytest.raises(Killed):
            evaluate(1)
    assert contents(tmp_path / "run") == before
    with monkeypatch.context() as context:
        kill(context, lvis_evaluator, "evaluate_tasks")
        with pytest.raises(Killed):
            evaluate(1)
    after = contents(tmp_path / "run")
    assert after.keys() == {"lvis_instances_results.json"}
    assert after["lvis_instances_results.json"] != before["lvis_instances_results.json"]
    assert evaluate(1) == 0
    assert contents(tmp_path / "run").keys() == before.keys()


def test_killed_evaluation_of_a_lazyconfig(lazy_config, tmp_path, monkeypatch):
    assert lazy_configs.run(lazy_config) == 0
    results = tmp_path / "run/inference/lazy_val/results.json"
    assert results.is_file()
    kill(monkeypatch, lvis_evaluator, "evaluate_tasks")
    with pytest.raises(Killed):
        lazy_configs.run(lazy_config, "--eval-only", f"train.init_checkpoint={tmp_path}/run/model_final.pth")
    assert not results.exists()
