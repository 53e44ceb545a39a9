"""Test tools/convert_mmdet_checkpoint.py with config texts in checkpoints: commands and errors."""

import shlex

import pytest
import torch

from seesaw_d2.train import load_config
from seesaw_d2.weights.converters.fit_check import build_without_memory
from seesaw_d2.weights.score_settings import differing_settings
from tests.weights.converters.command import run
from tests.weights.converters.mmdet_names import mmdet_shapes
from tests.weights.converters.mmdet_texts import edited, mmdet_text

CONFIG = "configs/seesaw/mask_rcnn_R_50_FPN_random_seesaw_2x.yaml"

PUBLISHED = "mask_rcnn_r50_fpn_random_seesaw_loss_mstrain_2x_lvis_v1-a698dd3d.pth"


@pytest.fixture(scope="module")
def state():
    """Return the state of a Mask R-CNN R-50 with 1203 categories. Every tensor is one expanded number."""
    shapes = mmdet_shapes(depth=50, cascade=False, num_classes=1203)
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


def test_the_printed_command(state, tmp_path, capsys):
    """Test that the command contains the differing settings and works, and that no published AP is printed."""
    text = edited(mmdet_text(3), "tempearture=20", "tempearture=5").replace("score_thr=0.0001", "score_thr=0.05")
    text = text.replace("style='pytorch'", "style='caffe'")
    meta = {"cfg": text, "dataset_meta": {"CLASSES": [f"c{index}" for index in range(1203)]}}
    source, target = tmp_path / "in.pth", tmp_path / "out.pth"
    torch.save({"meta": meta, "state_dict": state}, source)
    status, out, err = run(capsys, source, target, "--opts", "TEST.DETECTIONS_PER_IMAGE", "50")
    assert (status, err) == (0, "")
    assert "published for this model" not in out
    (command,) = (line for line in out.splitlines() if line.startswith("python "))
    words = shlex.split(command)
    cfg = load_config(words[words.index("--config-file") + 1], words[words.index("--eval-only") + 1 :])
    assert cfg.MODEL.ROI_BOX_HEAD.CLS_PREDICTOR.TEMPERATURE == 5
    assert cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST == 0.05
    assert cfg.MODEL.RESNETS.STRIDE_IN_1X1 is True
    assert (cfg.INPUT.RESIZE, cfg.TEST.DETECTIONS_PER_IMAGE) == ("opencv", 50)
    assert torch.load(target, weights_only=True)["categories"] == meta["dataset_meta"]["CLASSES"]
    torch.save({"meta": {"cfg": mmdet_text(3)}, "state_dict": state}, source)
    _, out, _ = run(capsys, source, target, "--overwrite")
    assert "published for this model" in out
    assert "overrides from" not in out


@pytest.mark.parametrize("temperature", [20, 5])
def test_the_score_settings(state, tmp_path, capsys, temperature):
    """Test that the file records the temperature in the text, and that a checkpointer compares it with the config."""
    text = edited(mmdet_text(3), "tempearture=20", f"tempearture={temperature}")
    torch.save({"meta": {"cfg": text}, "state_dict": state}, tmp_path / "in.pth")
    assert run(capsys, tmp_path / "in.pth", tmp_path / "out.pth")[0] == 0
    model = build_without_memory(load_config(CONFIG))  # with temperature 20
    difference = differing_settings(model, torch.load(tmp_path / "out.pth", weights_only=True))
    assert (f"cls_score: expected NormedLinear (temperature {temperature}," in difference) is (temperature == 5)
    assert ("temperature 20" in difference) is (temperature == 5)


@pytest.mark.parametrize(("name", "known"), [(PUBLISHED, True), ("epoch_24.pth", False)])
def test_the_score_settings_without_a_text(state, tmp_path, capsys, name, known):
    torch.save({"state_dict": state}, tmp_path / name)
    mask = [] if known else ["--mask", "plain"]
    assert run(capsys, tmp_path / name, tmp_path / "out.pth", *mask)[0] == 0
    assert ("score_settings" in torch.load(tmp_path / "out.pth", weights_only=True)) is known


def test_with_a_config_of_ones_own(tiny, tmp_path, capsys):
    """Test a given config: the command contains the evaluation keys and the settings in which the text differs."""
    source, config, target = tiny
    content = torch.load(source, weights_only=True)
    text = edited(mmdet_text(2, cascade=True), "max_per_img=300", "max_per_img=7")
    torch.save({**content, "meta": {"config": text}}, source)
    status, out, err = run(capsys, source, target, "--config-file", config)
    assert (status, err) == (0, "")
    words = shlex.split(out.splitlines()[-1])
    pairs = dict(zip(words[words.index("INPUT.RESIZE") :: 2], words[words.index("INPUT.RESIZE") + 1 :: 2], strict=True))
    assert pairs["INPUT.RESIZE"] == "opencv"
    assert pairs["MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE"] == "logits"
    assert pairs["TEST.DETECTIONS_PER_IMAGE"] == "7"
    torch.save({**content, "meta": {"config": edited(text, "type='nms'", "type='soft_nms'")}}, source)
    target.unlink()
    status, _, err = run(capsys, source, target, "--config-file", config)
    assert status == 2
    assert "soft_nms" in err
    assert not target.exists()


def test_no_average_without_stages(state, tmp_path, capsys):
    torch.save({"meta": {"cfg": mmdet_text(3)}, "state_dict": state}, tmp_path / "in.pth")
    _, out, _ = run(capsys, tmp_path / "in.pth", tmp_path / "out.pth", "--config-file", CONFIG)
    assert "INPUT.RESIZE opencv" in out
    assert "AVERAGE" not in out


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tiny, capsys, value):
    source, config, target = tiny
    content = torch.load(source, weights_only=True)
    content["state_dict"]["rpn_head.rpn_cls.bias"][1] = value
    torch.save(content, source)
    status, _, err = run(capsys, source, target, "--config-file", config)
    assert status == 2
    assert str(source) in err
    assert "proposal_generator.rpn_head.objectness_logits.bias" in err
    assert not target.exists()


@pytest.mark.parametrize(("cascade", "config"), [(False, "lvis_v0.5/mask_rcnn_R_50_FPN"), (True, "seesaw/cascade_")])
def test_lvis_v05(tmp_path, capsys, cascade, config):
    shapes = mmdet_shapes(depth=101, cascade=cascade, num_classes=1230)
    content = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    text = mmdet_text(2, cascade=cascade).replace("1203", "1230")
    torch.save({"meta": {"config": text}, "state_dict": content}, tmp_path / "in.pth")
    status, out, err = run(capsys, tmp_path / "in.pth", tmp_path / "out.pth")
    assert (status, err) == (0, "")
    assert f"--config-file configs/{config}" in out
    assert "LVIS v0.5" in out
    (command,) = (line for line in out.splitlines() if line.startswith("python "))
    words = shlex.split(command)
    cfg = load_config(words[words.index("--config-file") + 1], words[words.index("--eval-only") + 1 :])
    assert (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.ROI_HEADS.NUM_CLASSES) == (101, 1230)
    assert cfg.DATASETS.TEST == ("lvis_v0.5_val",)


def test_long_lists_are_cut(tiny, capsys):
    source, config, target = tiny
    content = torch.load(source, weights_only=True)
    names = [f"ema_backbone_layer{index}_weight" for index in range(300)]
    content["state_dict"] |= {name: torch.ones(1) for name in names}
    torch.save(content, source)
    status, out, _ = run(capsys, source, target, "--config-file", config)
    assert status == 0
    assert names[0] in out
    assert "300" in out
    assert names[50] not in out


def test_mask_against_the_text(state, tmp_path, capsys):
    torch.save({"meta": {"cfg": mmdet_text(3, normed_mask=True)}, "state_dict": state}, tmp_path / "in.pth")
    status, _, err = run(capsys, tmp_path / "in.pth", tmp_path / "out.pth", "--mask", "plain")
    assert status == 2
    assert "--mask" in err
    assert "normed" in err
