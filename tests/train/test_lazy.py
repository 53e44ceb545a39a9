"""lazyconfig_train_net.py trains, resumes and evaluates a LazyConfig, and names mistakes in it."""

import builtins
import json
import os
import signal

import pytest
import torch

from seesaw_d2.modeling import SeesawBoxPredictor
from seesaw_d2.report.page import write_report
from seesaw_d2.train.lazyconfig.job import LazyCheckpointer, LazyTrainer, main
from seesaw_d2.train.lazyconfig.loading import load_lazy_config
from tests.train.resumed_runs import assert_same, final_state, metrics

CONFIG = """
from seesaw_d2 import model_zoo
from seesaw_d2.data import DatasetEntry, register_dataset

base = model_zoo.get_cfg("lazy/mask_rcnn_R_50_FPN_rfs_seesaw_2x.py")
for split in ("train", "val"):
    folder = "GLYPHS"
    register_dataset(DatasetEntry("lazy_" + split, f"{folder}/annotations/glyphs_{split}.json", folder + "/images"))
register_dataset(DatasetEntry("lazy_gone", "nowhere.json", "nowhere"))
model, dataloader, optimizer = base.model, base.dataloader, base.optimizer
lr_multiplier, train = base.lr_multiplier, base.train
model.backbone.bottom_up.stages.pop("stride_in_1x1")
model.backbone.bottom_up.stages.depth = 18
model.roi_heads.num_classes = 6
model.roi_heads.batch_size_per_image = 16
model.roi_heads.box_predictor.test_topk_per_image = 5
model.proposal_generator.post_nms_topk = (50, 20)
dataloader.train.update(names=["lazy_train"], repeat_threshold=0.5, total_batch_size=2, num_workers=0)
dataloader.test.dataset.name = "lazy_val"
dataloader.test.num_workers = 0
for part in (dataloader.train, dataloader.test):
    part.mapper.augmentations[0].update(short_edge_length=(64,), sample_style="choice", max_size=96)
train.update(device="cpu", init_checkpoint="", output_dir="RUN", max_iter=2, log_period=1)
"""


@pytest.fixture
def config(glyphs, tmp_path):
    """Path of a LazyConfig that trains for two iterations, output below ``run``."""
    path = tmp_path / "config.py"
    path.write_text(CONFIG.replace("GLYPHS", str(glyphs)).replace("RUN", str(tmp_path / "run")))
    return path


def run(config, *words):
    return main(["--config-file", str(config), *words])


def test_train_resume_evaluate(config, tmp_path, capsys):
    assert run(config) == 0
    assert run(config) == 2
    assert "train.output_dir: " in capsys.readouterr().err
    assert run(config, "--resume", "train.max_iter=3") == 0
    folder = tmp_path / "run"
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1, 2]
    results = folder / "inference/lazy_val/results.json"
    trained = results.read_text()
    assert set(json.loads(trained)) == {"bbox", "segm"}
    write_report([str(folder)], str(tmp_path / "report.html"), dataset="lazy_val")
    assert "SeesawROIHeads" in (tmp_path / "report.html").read_text()
    results.unlink()
    assert run(config, "--eval-only", f"train.init_checkpoint={folder}/model_final.pth") == 0
    assert results.read_text() == trained


@pytest.mark.parametrize("at", [1, 4])
def test_a_signal_finishes_the_iteration_and_saves(config, tmp_path, monkeypatch, capsys, at):
    """In the middle of a training and in its last iteration."""
    step = LazyTrainer.run_step

    def stopping(self):
        if self.iter == at:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self)

    words = ["train.max_iter=5", "train.checkpointer.period=2", "train.checkpointer.max_to_keep=1"]
    with monkeypatch.context() as patch:
        patch.setattr(LazyTrainer, "run_step", stopping)
        assert run(config, *words) == 143
    assert f"stopped by SIGTERM after iteration {at}" in capsys.readouterr().err
    folder = tmp_path / "run"
    saved = "model_0000001.pth" if at == 1 else "model_final.pth"
    assert (folder / "last_checkpoint").read_text() == saved
    assert not (folder / "inference").exists()
    assert run(config, "--resume", *words) == 0
    assert f"Starting training from iteration {at + 1}" in (folder / "log.txt").read_text()
    assert {path.name for path in folder.glob("model*")} == {"model_0000003.pth", "model_final.pth"}
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1, 2, 3, 4]
    assert (folder / "inference/lazy_val/results.json").is_file()


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(config, tmp_path):
    """Losses, weights, class counts, optimizer, place in the data: bit for bit."""
    words = ["train.seed=5", "train.checkpointer.period=2", "dataloader.train.num_workers=2"]
    words.append("dataloader.evaluator=null")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(config, *words, "train.max_iter=5", f"train.output_dir={whole}") == 0
    assert run(config, *words, "train.max_iter=5", f"train.output_dir={parts}") == 0
    # As after a kill in the fourth iteration.
    for name in ("model_0000003.pth", "model_final.pth"):
        (parts / name).unlink()
    (parts / "last_checkpoint").write_text("model_0000001.pth")
    assert run(config, "--resume", *words, "train.max_iter=5", f"train.output_dir={parts}") == 0
    assert "Starting training from iteration 2" in (parts / "log.txt").read_text()
    assert_same(final_state(whole), final_state(parts))
    assert metrics(whole) == metrics(parts)
    assert torch.load(whole / "model_final.pth", weights_only=True)["trainer"]["hooks"]["TrainingState"]["loader"]


@pytest.mark.slow
def test_two_processes(config, tmp_path):
    """They train, evaluate and resume; one file of each kind is written."""
    words = ["--num-processes", "2"]
    assert run(config, *words) == 0
    assert run(config, *words, "--resume", "train.max_iter=3") == 0
    folder = tmp_path / "run"
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [0, 1, 2]
    assert set(json.loads((folder / "inference/lazy_val/results.json").read_text())) == {"bbox", "segm"}


def test_the_seed_decides_the_weights_and_every_step(config, tmp_path):
    losses = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        words = ["train.max_iter=1", f"train.seed={seed}", f"train.output_dir={tmp_path / name}"]
        assert run(config, *words, "dataloader.evaluator=null") == 0
        lines = (tmp_path / name / "metrics.json").read_text().splitlines()
        losses.append(json.loads(lines[0])["total_loss"])
    assert losses[0] == losses[1] != losses[2]


def test_a_step_that_is_not_finite_ends_the_run(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(SeesawBoxPredictor, "box_losses", lambda self, deltas, *_: {"loss_box_reg": deltas.sum() / 0})
    assert run(config) == 2
    message = capsys.readouterr().err
    assert "a loss or a gradient is not finite" in message
    assert "optimizer.lr, or with train.max_skipped_steps above 0" in message
    assert list((tmp_path / "run").glob("nonfinite_iter*.pth"))


def test_bfloat16(config, tmp_path):
    """bfloat16 is used, and RoIAlign gets float32."""
    losses = {}
    for name, words in (("plain", []), ("half", ["train.amp.enabled=True", "train.amp.dtype=bfloat16"])):
        words += ["train.max_iter=1", "train.seed=3", f"train.output_dir={tmp_path / name}"]
        assert run(config, *words, "dataloader.evaluator=null") == 0
        lines = (tmp_path / name / "metrics.json").read_text().splitlines()
        losses[name] = json.loads(lines[0])["total_loss"]
    assert losses["half"] != losses["plain"]
    assert losses["half"] == pytest.approx(losses["plain"], rel=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.ddp.find_unused_parameters=True"], "train.ddp.find_unused_parameters: expected False"),
        (["train.checkpointer.period=0"], "train.checkpointer.period: expected at least 1"),
        (["train.log_period=null"], "found no train.log_period"),
        (["train.device=cuda"], "train.device is 'cuda'"),
        (["train.amp.enabled=True"], "train.amp.dtype: expected bfloat16 with train.amp.enabled"),
        (["train.amp.dtype=float8"], "train.amp.dtype: expected one of float16, bfloat16, found 'float8'"),
        (["train.init_checkpoint=nowhere.pth"], "train.init_checkpoint: nowhere.pth: no such file"),
        (["--eval-only"], "train.init_checkpoint: expected a weights file"),
        (["dataloader.train.total_batch_size=0"], "dataloader.train.total_batch_size: expected a positive multiple"),
        (["train.max_iter"], "overrides: expected KEY=VALUE"),
        (
            ["train.max_itr=7"],
            "unknown config key train.max_itr. Did you mean train.max_iter? To add",
        ),
        (["train.max_iter=abc"], "overrides: train.max_iter: expected a value of type int, such as"),
        (["train.max_iter=2.5"], "train.max_iter: expected an integer, found 2.5"),
        (["dataloader.train.names=[lazy_gone]"], "annotation file at nowhere.json"),
        (["dataloader.test.dataset.name=lazy_gone"], "annotation file at nowhere.json"),
        (["train.max_iter=inf"], "train.max_iter: expected an integer, found inf"),
        (
            ["train.amp.enabled=1"],
            "overrides: train.amp.enabled: expected a value of type bool, such as False, found 1",
        ),
        (["MODEL.WEIGHTS=a.pth"], "unknown config key MODEL.WEIGHTS. Did you mean train.init_checkpoint?"),
        (["trian.seed=1"], "unknown config key trian.seed. Did you mean train.seed?"),
        (["model.roi_heads.num_clases=5"], "Did you mean model.roi_heads.num_classes?"),
        (["model.backbone.bottom_up.freez_at=1"], "Did you mean model.backbone.bottom_up.freeze_at?"),
        (["dataloader.train.mapper.augmentations.1.max_size=5"], "key dataloader.train.mapper.augmentations.1.max"),
        (["optimizer.nesterof=True"], "unknown config key optimizer.nesterof. Did you mean optimizer.nesterov?"),
    ],
)
def test_mistakes_are_named(config, words, message, tmp_path, capsys):
    if "cuda" in words[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run(config, *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_files_that_are_no_lazy_configs(tmp_path, capsys):
    assert run(tmp_path / "nowhere.py") == 2
    assert "nowhere.py" in capsys.readouterr().err
    original = builtins.__import__
    (tmp_path / "broken.py").write_text("model = 1 / 0\n")
    assert run(tmp_path / "broken.py") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert builtins.__import__ is original
    (tmp_path / "half.py").write_text("model = dict(a=1)\n")
    assert run(tmp_path / "half.py") == 2
    assert "found no dataloader.train, optimizer, lr_multiplier, train" in capsys.readouterr().err


def test_names_that_are_ends_of_the_models(tmp_path):
    """PATH?matching_heuristics=True, as in ViTDet's configs."""
    source, model = torch.nn.Linear(2, 3), torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 3)})
    torch.save({"model": source.state_dict()}, tmp_path / "plain.pth")
    LazyCheckpointer(model).load(f"{tmp_path}/plain.pth?matching_heuristics=True", checkpointables=[])
    assert torch.equal(model["backbone"].weight, source.weight)


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("train.max_iter=7", lambda cfg: cfg.train.max_iter == 7),
        ("+train.mine=7", lambda cfg: cfg.train.mine == 7),
        ("++train.max_iter=7", lambda cfg: cfg.train.max_iter == 7),
        ("+mine.own.key=7", lambda cfg: cfg.mine.own.key == 7),
        ("train.seed=7", lambda cfg: cfg.train.seed == 7),
        ("train.amp.dtype=bfloat16", lambda cfg: cfg.train.amp.dtype == "bfloat16"),
        # What the node's function or class takes, without being named in the config.
        ("optimizer.nesterov=True", lambda cfg: cfg.optimizer.nesterov),
        ("model.backbone.bottom_up.num_classes=7", lambda cfg: cfg.model.backbone.bottom_up.num_classes == 7),
        ("dataloader.train.prefetch_factor=7", lambda cfg: cfg.dataloader.train.prefetch_factor == 7),
        (
            "dataloader.train.mapper.augmentations.0.max_size=7",
            lambda cfg: cfg.dataloader.train.mapper.augmentations[0].max_size == 7,
        ),
    ],
)
def test_overrides_reach_the_config(config, override, found):
    assert found(load_lazy_config(str(config), [override]))


def _written(content: bytes):
    return lambda path: path.write_bytes(content)


ODD_FILES = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "not UTF-8": _written(b"x = '\xff'"),
    "zeros": _written(bytes(100)),
    "nested": _written(b"[" * 10**5),
    "huge": _written(b"#" * (1 << 21)),
    "empty": _written(b""),
    "numbers": _written(b"model = dataloader = optimizer = lr_multiplier = train = 5"),
    "recursive": _written(b"def f(): f()\nf()"),
    "an error of several lines": _written(b"raise ValueError('a\\nb\\x1b[2J')"),
}


@pytest.mark.parametrize("make", ODD_FILES.values(), ids=ODD_FILES)
def test_odd_files_are_named_in_one_line(tmp_path, make, capfd):
    make(tmp_path / "odd.py")
    assert run(tmp_path / "odd.py") == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path / "odd.py") in line
    assert line.isprintable()
