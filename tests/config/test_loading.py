"""Test the loading of configs: every key is documented, and every mistake raises an error with the key."""

from pathlib import Path

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model

from seesaw_d2 import add_seesaw_config
from seesaw_d2.config.loading import config_keys, default_config
from seesaw_d2.errors import ConfigError
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.modeling.calibration import CALIBRATION_REGISTRY
from seesaw_d2.train import Trainer, load_config
from seesaw_d2.train.preflight.config_checks import check_names
from seesaw_d2.train.preflight.job_checks import Preflight

ROOT = Path(__file__).parents[2]
YAMLS = sorted(ROOT.glob("configs/**/*.yaml"))


def added_keys():
    plain, ours = get_cfg(), get_cfg()
    add_seesaw_config(ours)
    nodes = {key for key in config_keys(ours) if any(other.startswith(key + ".") for other in config_keys(ours))}
    return sorted(set(config_keys(ours)) - set(config_keys(plain)) - nodes)


def test_the_list_of_keys():
    """Test that the list of keys is complete. Add a new key to the list and to docs/config.md. Do not remove keys."""
    assert added_keys() == (Path(__file__).parent / "added_keys.txt").read_text().splitlines()


@pytest.mark.parametrize("key", added_keys())
def test_each_key_is_described(key):
    assert f"`{key}`" in (ROOT / "docs/config.md").read_text()


MASK = ["MODEL.ROI_HEADS.NAME", "SeesawROIHeads"]
LINEAR = [*MASK, "MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.NAME", "Linear"]
ITERATIVE = ["MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", False]
# Together, these jobs use all components of this project.
JOBS = [
    ["MODEL.ROI_HEADS.NAME", "SeesawCascadeROIHeads", "MODEL.RPN.POST_NMS_TOPK_TRAIN", 2000],
    [*ITERATIVE, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance"],
    *(
        [*MASK, "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", name]
        for name, loss in LOSS_REGISTRY
        if loss.backgrounds != ("none",)
    ),
    *([*LINEAR, "MODEL.ROI_HEADS.CALIBRATION.NAME", name] for name, _ in CALIBRATION_REGISTRY),
]


def test_each_key_is_read(config_file, monkeypatch):
    """Test that the preflight and the builders of both tasks read all keys of this project."""
    common = ["MODEL.ROI_MASK_HEAD.NAME", "NormedMaskHead", "SOLVER.EPOCHS", 1.0]
    common += ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "INPUT.MASK_FORMAT", "bitmask"]
    common += ["INPUT.COPY_PASTE.ENABLED", True, "INPUT.COPY_PASTE.THRESHOLD", 1.0]
    digits = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(config_file.parent / "digits")]
    configs = [load_config(str(config_file), [*common, *job]) for job in JOBS]
    configs += [load_config(str(ROOT / f"configs/digits/{name}.yaml"), digits) for name in ("seesaw", "eql")]
    paths, read = {}, set()
    plain = CfgNode.__getattr__

    def traced(node, name):
        if id(node) in paths:
            read.add(paths[id(node)] + name)
        return plain(node, name)

    monkeypatch.setattr(CfgNode, "__getattr__", traced)
    for cfg in configs:
        paths = {id(cfg): ""}
        for key in config_keys(cfg):
            node = cfg
            for part in key.split("."):
                node = node[part]
            paths[id(node)] = key + "."
        Preflight(cfg).job()
        Trainer.build_model(cfg)
        Trainer.build_train_loader(cfg)
    assert set(added_keys()) <= read


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_yaml_builds(path):
    cfg = load_config(str(path), ["MODEL.DEVICE", "meta"])
    check_names(cfg)
    with torch.device("meta"):  # the device "meta" avoids allocating and initializing the parameters
        assert build_model(cfg) is not None


def test_a_second_call_changes_no_value():
    cfg = load_config("seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml", ["MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "FocalLoss"])
    before = cfg.clone()
    add_seesaw_config(cfg)
    assert cfg == before
    cfg.freeze()
    add_seesaw_config(cfg)
    assert cfg == before
    assert cfg.is_frozen()


def test_a_frozen_config_without_the_keys():
    cfg = get_cfg()
    cfg.freeze()
    with pytest.raises(ConfigError, match=r"^MODEL\.[\w.]+: .*before cfg\.freeze"):
        add_seesaw_config(cfg)


def test_keys_of_a_config_that_allows_new_keys_are_kept():
    cfg = get_cfg()
    cfg.set_new_allowed(True)
    cfg.merge_from_other_cfg(CfgNode({"MODEL": {"ROI_BOX_HEAD": {"CLS_LOSS": {"SEESAW": {"Q": 0.5}}}}}))
    add_seesaw_config(cfg)
    assert cfg.MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW == {**default_config().MODEL.ROI_BOX_HEAD.CLS_LOSS.SEESAW, "Q": 0.5}


@pytest.mark.parametrize(("key", "value"), [("FREEZE", True), ("WEIGHTS_EXCEPT", CfgNode({"A": 1}))])
def test_keys_of_another_project_with_the_same_name(key, value):
    cfg = get_cfg()
    cfg.MODEL[key] = value
    with pytest.raises(ConfigError, match=rf"^MODEL\.{key}: "):
        add_seesaw_config(cfg)
