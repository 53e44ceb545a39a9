"""What a job says on the console and in log.txt."""

import pytest
import torch

from seesaw_d2.data import files, train_loader
from seesaw_d2.engine import main


@pytest.fixture
def command(config_file):
    return ["--config-file", str(config_file), "SOLVER.MAX_ITER", "1", "DATASETS.TEST", "()"]


def test_more_workers_than_cores_are_mentioned_once(command, config_file, monkeypatch, recwarn):
    """In place of PyTorch's fear, at each loader, that it "might get slow or even freeze"."""
    monkeypatch.setattr(torch._utils, "cpu_count", lambda: 1)
    monkeypatch.setattr(train_loader, "count_workers", lambda workers: 1)
    monkeypatch.setattr(files, "_already_logged", set())
    assert main([*command, "DATALOADER.NUM_WORKERS", "2"]) == 0
    assert not [each for each in recwarn if "worker processes" in str(each.message)]
    log = (config_file.parent / "run/log.txt").read_text()
    assert log.count("2 worker processes load images, more than there are cores (1); fewer of them (DATALOADER") == 1
