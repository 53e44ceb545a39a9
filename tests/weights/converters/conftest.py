import sys
from pathlib import Path

import pytest
import torch

from tests.weights.converters.tiny import read_golden, tiny_config

# The programs run in their folder, and import each other from this folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))


@pytest.fixture
def tiny(tmp_path):
    """Return MMDetection's file of the tiny cascade, this project's config, and the target path."""
    state, _ = read_golden("cascade-mask")
    source = tmp_path / "epoch_24.pth"
    torch.save({"meta": {"cfg": "model = dict(roi_head=dict(mask_head=dict()))"}, "state_dict": state}, source)
    config = tmp_path / "tiny.yaml"
    config.write_text(tiny_config("cascade-mask").dump())
    return source, config, tmp_path / "out.pth"
