"""Test that lazyconfig_train_net.py raises errors for mistakes in overrides and files."""

import builtins
import os

import pytest
import torch

from seesaw_d2.train.lazyconfig.job import LazyCheckpointer
from seesaw_d2.train.lazyconfig.loading import load_lazy_config
from tests.train.lazy_configs import run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.ddp.find_unused_parameters=True"], "train.ddp.find_unused_parameters: expected False"),
        (["train.checkpointer.period=0"], "train.checkpointer.period: expected at least 1"),
        (["train.log_period=null"], "config.py: missing keys: train.log_period."),
        (["train.device=cuda"], "train.device is 'cuda'"),
        (["train.amp.enabled=True"], "train.amp.dtype: expected bfloat16 with train.amp.enabled"),
        (["train.amp.dtype=float8"], "train.amp.dtype: expected one of float16, bfloat16, found 'float8'"),
        (["train.init_checkpoint=nowhere.pth"], "train.init_checkpoint: nowhere.pth: no such file"),
        (["--eval-only", "--overwrite"], "--eval-only, --overwrite: "),
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
def test_mistakes_are_named(lazy_config, words, message, tmp_path, capsys):
    if "cuda" in words[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run(lazy_config, *words) == 2
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
    assert "half.py: missing keys: dataloader.train, optimizer, lr_multiplier, train." in capsys.readouterr().err


def test_names_that_are_ends_of_the_models(tmp_path):
    """Test weights PATH?matching_heuristics=True, as in ViTDet's configs."""
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
        # Arguments of the function or class of a node that the config does not contain.
        ("optimizer.nesterov=True", lambda cfg: cfg.optimizer.nesterov),
        ("model.backbone.bottom_up.num_classes=7", lambda cfg: cfg.model.backbone.bottom_up.num_classes == 7),
        ("dataloader.train.prefetch_factor=7", lambda cfg: cfg.dataloader.train.prefetch_factor == 7),
        (
            "dataloader.train.mapper.augmentations.0.max_size=7",
            lambda cfg: cfg.dataloader.train.mapper.augmentations[0].max_size == 7,
        ),
    ],
)
def test_overrides_reach_the_config(lazy_config, override, found):
    assert found(load_lazy_config(str(lazy_config), [override]))


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
