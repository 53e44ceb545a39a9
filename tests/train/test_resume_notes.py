"""Test the messages of a resumed run, and resuming from checkpoints of other programs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from detectron2.data import detection_utils
from detectron2.utils import comm

import seesaw_d2
from seesaw_d2.data.sampling.epoch_samplers import UniformStream
from seesaw_d2.data.sampling.train_loader import TrainLoader
from seesaw_d2.errors import WeightsError
from seesaw_d2.train import main
from seesaw_d2.train.checkpoints.training_state import TrainingState
from tests.train.resumed_runs import assert_same_runs, final_state, log_every_iteration, metrics, options

NOTE = "bit for bit equal"
UNIFORM = ["DATALOADER.SAMPLER_TRAIN", "TrainingSampler", "DATALOADER.ASPECT_RATIO_GROUPING", "False"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(config_file, monkeypatch):
    """Return ``run(folder, last, *overrides)``, which trains with --resume up to iteration ``last``."""

    log_every_iteration(monkeypatch)

    def train(folder, last, *overrides):
        length = ["SOLVER.MAX_ITER", str(last), "SOLVER.STEPS", "()", "TEST.EVAL_PERIOD", "0"]
        assert main(["--config-file", str(config_file), "--resume", *options(folder, *length, *overrides)]) == 0
        return (folder / "log.txt").read_text()

    return train


@pytest.fixture
def begun(run, tmp_path):
    """Return the folder of a run with two iterations."""
    assert NOTE not in run(tmp_path / "run", 2)
    return tmp_path / "run"


def test_a_folder_without_a_run_is_said(begun, run):
    def lines():
        return [line for line in (begun / "log.txt").read_text().splitlines() if "WARN" in line and "--resume" in line]

    assert [str(begun) in line for line in lines()] == [True]
    run(begun, 3)
    assert len(lines()) == 1


def test_what_a_checkpoint_holds(begun):
    state = torch.load(begun / "model_final.pth", weights_only=True)  # only plain values and tensors
    kept = state["trainer"]["hooks"]["TrainingState"]
    assert (kept["seed"], kept["loader"]["images"], kept["loader"]["batch_size"], kept["world_size"]) == (7, 4, 2, 1)
    assert kept["versions"]["seesaw_d2"] == seesaw_d2.__version__
    assert yaml.safe_load(kept["config"])["DATALOADER"]["SAMPLER_TRAIN"] == "RepeatFactorTrainingSampler"
    assert kept["scalars"]["total_loss"]["values"][1][1] == 1
    assert state["trainer"]["_trainer"]["optimizer"]["state"]
    assert state["trainer"]["hooks"]["LRScheduler"]["last_epoch"] == 2


def test_only_the_images_that_are_trained_on_are_read(begun, run, monkeypatch):
    read, original = [], detection_utils.read_image
    monkeypatch.setattr(detection_utils, "read_image", lambda path, format: read.append(path) or original(path, format))
    assert NOTE not in run(begun, 5)
    assert len([path for path in read if "/train/" in str(path)]) == 3 * 2


def test_what_makes_it_another_run_is_said(begun, run, config_file, tmp_path):
    config = yaml.safe_load(config_file.read_text())
    data = json.loads(Path(config["DATASETS"]["REGISTER"][0]["JSON"]).read_text())
    gone = data["images"].pop()["id"]
    data["annotations"] = [item for item in data["annotations"] if item["image_id"] != gone]
    smaller = tmp_path / "smaller.json"
    smaller.write_text(json.dumps(data))
    config["DATASETS"]["REGISTER"][0].update(JSON=str(smaller), NAME="smaller")
    config["DATASETS"]["TRAIN"] = ["smaller"]
    config_file.write_text(yaml.safe_dump(config))
    path = begun / "model_final.pth"
    state = torch.load(path, weights_only=True)
    state["trainer"]["hooks"]["TrainingState"].update(world_size=8, versions={"torch": "1.0"})
    torch.save(state, path)
    log = run(begun, 3, "SEED", "8", "SOLVER.IMS_PER_BATCH", "4", *UNIFORM)
    (line,) = [line for line in log.splitlines() if NOTE in line]
    for part in (
        "seed 7 before, 8 now",
        "number of images in a batch 2 before, 4 now",
        "sampler RepeatFactorStream before, UniformStream now",
        "aspect ratio grouping True before, False now",
        "number of training images 24 before, 23 now",
        "hash of the training images' names",
        "hash of the training images' categories and boxes",
        "8 processes before, 1 now",
        "torch 1.0 before",
    ):
        assert part in line
    loader = final_state(begun)["trainer"]["hooks"]["TrainingState"]["loader"]
    assert (loader["images"], loader["seed"]) == (2 * 2 + 4, 8)


@pytest.mark.parametrize("optimizer", [True, False], ids=["main", "v0.6"])
def test_a_checkpoint_of_detectron2(begun, run, optimizer):
    """Test that a checkpoint of Detectron2 continues at the data position of its iteration."""
    path = begun / "model_final.pth"
    state = torch.load(path, weights_only=True)
    del state["trainer"]["hooks"]["TrainingState"]
    if not optimizer:
        del state["trainer"]["_trainer"]
    torch.save(state, path)
    log = run(begun, 3)
    assert "position in the training data" in log
    assert ("no optimizer state" in log) != optimizer
    loader = final_state(begun)["trainer"]["hooks"]["TrainingState"]["loader"]
    assert (loader["images"], loader["seed"]) == (6, 7)


@pytest.mark.parametrize("wrong", [[], {}, {"seed": -1}, {"loader": {"seed": 7, "images": "4"}}, {"precise_bn": [1]}])
def test_a_state_that_is_none_is_refused(wrong, tmp_path):
    loader = TrainLoader([{}], None, UniformStream(1, seed=0), batch_size=1)
    state = TrainingState(loader, [], seed=-1, config="", folder=str(tmp_path))
    state.trainer = SimpleNamespace(_hooks=[])
    right = state.state_dict()
    state.load_state_dict(right)
    with pytest.raises(WeightsError, match=r"hooks\.TrainingState: "):
        state.load_state_dict({**right, **wrong} if wrong else wrong)


def test_a_metrics_file_of_another_run_is_left_alone(begun, run):
    (begun / "metrics.json").write_text('{"iteration": 0}\n')
    assert "metrics.json: expected complete lines" in run(begun, 3)
    assert metrics(begun)[0] == "{'iteration': 0}"


def test_machines_that_do_not_share_the_folder(begun, config_file, monkeypatch, capsys):
    """Test the error if another machine does not find the checkpoint. Its processes would start with iteration 0."""
    gather = comm.all_gather
    monkeypatch.setattr(comm, "all_gather", lambda value: [value, 0] if type(value) is int else gather(value))
    assert main(["--config-file", str(config_file), "--resume", *options(begun, "SOLVER.MAX_ITER", "3")]) == 2
    assert "error: OUTPUT_DIR: " in (error := capsys.readouterr().err)
    assert "iterations: 2, 0" in error


def test_image_classification(tmp_path):
    pytest.importorskip("sklearn", reason="the digits are those of scikit-learn")
    command = ["--config-file", str(ROOT / "configs/digits/seesaw.yaml"), "--resume"]
    common = ["MODEL.DEVICE", "cpu", "SOLVER.IMS_PER_BATCH", "8", "SOLVER.CHECKPOINT_PERIOD", "2"]
    common += ["DATALOADER.SAMPLER_TRAIN", "ProgressivelyBalancedSampler", "SOLVER.EPOCHS", "0", "SOLVER.MAX_ITER", "5"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        assert main([*command, *common, "OUTPUT_DIR", str(folder)]) == 0
    # Restore the folder to the state after the checkpoint of the second iteration.
    (parts / "model_final.pth").unlink()
    (parts / "last_checkpoint").write_text("model_0000001.pth")
    assert main([*command, *common, "OUTPUT_DIR", str(parts)]) == 0
    assert_same_runs(whole, parts)


def test_changed_config_keys_take_effect_and_are_named(begun, run):
    keys = {"SOLVER.BASE_LR": 0.5, "SOLVER.MOMENTUM": 0.25, "SOLVER.WEIGHT_DECAY": 0.125, "SOLVER.WARMUP_ITERS": 0}
    loss = {"MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW.Q": 0.5}
    before = final_state(begun)["trainer"]["_trainer"]["optimizer"]["param_groups"]
    log = run(begun, 3, *(str(each) for pair in (keys | loss).items() for each in pair))
    groups = final_state(begun)["trainer"]["_trainer"]["optimizer"]["param_groups"]
    decays = [[group["weight_decay"] for group in each] for each in (before, groups)]
    assert decays == [[0.0001, 0], [0.125, 0]]  # SOLVER.WEIGHT_DECAY_NORM is 0
    for group in groups:
        assert (group["lr"], group["initial_lr"], group["momentum"]) == (0.5, 0.5, 0.25)
    assert final_state(begun)["trainer"]["hooks"]["LRScheduler"]["base_lrs"] == [0.5] * len(groups)
    assert json.loads((begun / "metrics.json").read_text().splitlines()[2])["lr"] == 0.5
    (line,) = [line for line in log.splitlines() if "SEESAW.Q" in line and "before" in line]
    for key, value in (keys | loss).items():
        assert f"{key} " in line
        assert f"{value} now" in line
    assert "OUTPUT_DIR" not in line
