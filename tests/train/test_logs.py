"""Test the messages of a job on the console and in log.txt."""

import sys

import pytest
import torch

from seesaw_d2.data.sampling import train_loader
from seesaw_d2.train import logs, main
from seesaw_d2.utils import messages as files


@pytest.fixture
def command(config_file):
    return ["--config-file", str(config_file), "SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()"]


def test_more_workers_than_cores_are_mentioned_once(command, config_file, monkeypatch, recwarn):
    """Test that a single message replaces PyTorch's warning for each loader."""
    monkeypatch.setattr(torch._utils, "cpu_count", lambda: 1)
    monkeypatch.setattr(train_loader, "count_workers", lambda workers: 1)
    monkeypatch.setattr(files, "_already_logged", set())
    assert main([*command, "DATALOADER.NUM_WORKERS", "2"]) == 0
    assert not [each for each in recwarn if "worker processes" in str(each.message)]
    log = (config_file.parent / "run/log.txt").read_text()
    assert log.count("2 worker processes load images") == 1


def test_colors_are_for_terminals(command, config_file, capsys, monkeypatch):
    """Test that only terminals get colors. Detectron2 also writes colors to files and pipes."""
    assert main(command) == 0
    printed, log = capsys.readouterr().out, (config_file.parent / "run/log.txt").read_text()
    for text in (printed, log):
        assert text.count("Running with full config") == text.count("Starting training from iteration 0") == 1
        assert "NUM_CLASSES: 6" in text
        assert "\x1b" not in text
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda stream: True)
    assert main([*command, "OUTPUT_DIR", str(config_file.parent / "other")]) == 0
    assert "\x1b[" in capsys.readouterr().out
    assert "\x1b" not in (config_file.parent / "other/log.txt").read_text()


@pytest.mark.parametrize("built", [False, True])
def test_a_missing_extension_is_put_into_perspective(command, config_file, monkeypatch, built):
    """Test the message about Detectron2's missing extension. The environment table says "not built correctly"."""
    monkeypatch.setattr(logs, "find_spec", lambda name: built or None)
    assert main(command) == 0
    log = (config_file.parent / "run/log.txt").read_text()
    assert log.count("detectron2._C is not built") == (not built)
