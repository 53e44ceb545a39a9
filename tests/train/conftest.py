"""Provide fixtures of trainings."""

import pytest
import torch

from tests.train.lazy_configs import CONFIG


@pytest.fixture
def one_thread():
    """Compute in one thread, like spawned processes, because sums in several threads have different rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def lazy_config(glyphs, tmp_path):
    """Return the path of a LazyConfig that trains for two iterations, with the output folder ``run``."""
    path = tmp_path / "config.py"
    path.write_text(CONFIG.replace("GLYPHS", str(glyphs)).replace("RUN", str(tmp_path / "run")))
    return path
