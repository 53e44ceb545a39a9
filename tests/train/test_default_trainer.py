"""Test configs and heads of this project in Detectron2's DefaultTrainer, and its weights in train_net.py."""

import json
import logging

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.engine import DefaultTrainer
from detectron2.modeling import build_model

import seesaw_d2
from seesaw_d2 import model_zoo
from seesaw_d2.data import build_train_loader, register_datasets
from seesaw_d2.errors import WeightsError
from seesaw_d2.modeling import building
from seesaw_d2.train import main
from seesaw_d2.weights import torchvision_backbones
from tests.data.toy import entry, toy_data, write, write_images
from tests.resnets import random_resnet

ITERATIONS = 2


class OwnTrainer(DefaultTrainer):
    """Train as docs/library.md describes."""

    @classmethod
    def build_train_loader(cls, cfg):
        return build_train_loader(cfg)


@pytest.fixture
def cfg(tmp_path):
    """Return a config as in Detectron2's plain_train_net.py: the defaults, this project's keys, and a YAML file."""
    data = toy_data()
    toy = entry(f"toy_{tmp_path.name}", write(tmp_path, data), write_images(tmp_path / "images", data))
    cfg = get_cfg()
    seesaw_d2.add_seesaw_config(cfg)
    cfg.merge_from_file(model_zoo.get_config_file("quickstart/mask_rcnn_glyphs_seesaw.yaml"))
    cfg.merge_from_list(
        [
            *("DATASETS.REGISTER", [toy], "DATASETS.TRAIN", (toy["NAME"],), "DATASETS.TEST", (toy["NAME"],)),
            *("MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.NUM_CLASSES", 2, "SOLVER.MAX_ITER", ITERATIONS),
            *("SOLVER.STEPS", (), "SOLVER.IMS_PER_BATCH", 2, "DATALOADER.NUM_WORKERS", 0, "TEST.EVAL_PERIOD", 0),
            *("INPUT.MIN_SIZE_TRAIN", (40,), "INPUT.MIN_SIZE_TEST", 40, "MODEL.SMALL_RESNET.WIDTHS", [8, 12, 16]),
            *("OUTPUT_DIR", str(tmp_path / "run"), "SOLVER.AMP.ENABLED", False, "DATALOADER.PIN_MEMORY", False),
        ]
    )
    (tmp_path / "run").mkdir()
    register_datasets(cfg)
    building._warn.cache_clear()
    return cfg


@pytest.mark.parametrize("sampler", ["TrainingSampler", "ClassAwareSampler"])
def test_a_training_that_train_net_evaluates(cfg, tmp_path, sampler, caplog):
    caplog.set_level(logging.WARNING)
    cfg.DATALOADER.SAMPLER_TRAIN = sampler
    tested, cfg.DATASETS.TEST = cfg.DATASETS.TEST, ()  # DefaultTrainer has no evaluator
    trainer = (OwnTrainer if sampler == "ClassAwareSampler" else DefaultTrainer)(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    (message,) = [record.getMessage() for record in caplog.records if record.name == building.__name__]
    assert "DATASETS.REGISTER" in message
    assert trainer.model.roi_heads.box_predictor.cls_loss.class_counts.sum() > 0
    cfg.DATASETS.TEST = tested
    config = tmp_path / "config.yaml"
    config.write_text(cfg.dump())
    arguments = ["--config-file", str(config), "--eval-only", "MODEL.WEIGHTS", f"{cfg.OUTPUT_DIR}/model_final.pth"]
    main(arguments)
    (results,) = (tmp_path / "run").glob("inference/*/results.json")
    assert json.loads(results.read_text())["bbox"]


def test_torchvisions_weights(tmp_path, monkeypatch):
    """Test torchvision's weights without a download, because the file is in the cache of torch.hub."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    reference = random_resnet(50)
    name = torchvision_backbones._url("resnet50").rsplit("/", 1)[-1]
    (tmp_path / "checkpoints").mkdir()
    torch.save(reference.state_dict(), tmp_path / "checkpoints" / name)
    cfg = model_zoo.get_cfg("seesaw/mask_rcnn_R_50_FPN_random_seesaw_2x.yaml")
    cfg.MODEL.DEVICE, cfg.MODEL.ROI_HEADS.NUM_CLASSES = "cpu", 3
    model = build_model(cfg)
    DetectionCheckpointer(model).load(cfg.MODEL.WEIGHTS, checkpointables=[])
    expected = torchvision_backbones.convert_resnet(reference.state_dict(), "backbone.bottom_up.")
    state = model.state_dict()
    assert len(expected) > 250
    assert all(torch.equal(state[key], value) for key, value in expected.items())
    with pytest.raises(WeightsError, match="resnet51"):
        DetectionCheckpointer(model).load("torchvision://resnet51", checkpointables=[])
