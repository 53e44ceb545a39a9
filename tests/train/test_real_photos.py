"""Test training and evaluation on real photos with real annotations, registered only by config keys."""

import json
from pathlib import Path

import pytest
import yaml

from seesaw_d2.train import main
from tests.shared import shared_path


@pytest.mark.parametrize("sampler", ["TrainingSampler", "RepeatFactorTrainingSampler"])
def test_coco38(tmp_path, sampler):
    root = shared_path("data/coco38")
    register = [
        {"NAME": f"coco38_{split}", "JSON": str(root / f"lvis_{split}.json"), "IMAGES": str(root / "images")}
        for split in ("train", "val")
    ]
    repeats = {"REPEAT_THRESHOLD": 0.1} if sampler == "RepeatFactorTrainingSampler" else {}
    config = {
        "_BASE_": str(Path("configs/quickstart/Base-glyphs.yaml").resolve()),
        "MODEL": {"DEVICE": "cpu", "ROI_HEADS": {"NUM_CLASSES": 41}},
        "DATASETS": {"REGISTER": register, "TRAIN": ["coco38_train"], "TEST": ["coco38_val"]},
        "DATALOADER": {"SAMPLER_TRAIN": sampler, **repeats},
        "INPUT": {"MIN_SIZE_TRAIN": [160], "MAX_SIZE_TRAIN": 256, "MIN_SIZE_TEST": 160, "MAX_SIZE_TEST": 256},
        "SOLVER": {"MAX_ITER": 4, "IMS_PER_BATCH": 4, "STEPS": [3]},
        "OUTPUT_DIR": str(tmp_path / "run"),
    }
    path = tmp_path / "coco38.yaml"
    path.write_text(yaml.safe_dump(config))
    assert main(["--config-file", str(path)]) == 0
    (results,) = (tmp_path / "run").glob("inference/coco38_val/results.json")
    assert {"bbox", "segm"} == set(json.loads(results.read_text()))
    losses = [json.loads(line) for line in (tmp_path / "run/metrics.json").read_text().splitlines()]
    assert any(line.get("total_loss", 0) > 0 for line in losses)
