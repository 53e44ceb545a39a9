import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2.train import load_config


@pytest.fixture
def arguments(config_file, tmp_path):
    cfg = load_config(str(config_file))
    torch.save({"model": build_model(cfg).state_dict()}, tmp_path / "model.pth")
    return ["--config-file", str(config_file), "--confidence-threshold", "0.0"], [
        *("--opts", "MODEL.WEIGHTS", str(tmp_path / "model.pth"), "TEST.DETECTIONS_PER_IMAGE", "5")
    ]
