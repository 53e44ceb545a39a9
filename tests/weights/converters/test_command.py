"""Test tools/convert_mmdet_checkpoint.py: the written file and the printed command."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2 import model_zoo
from seesaw_d2.train import SeesawCheckpointer, load_config
from seesaw_d2.train import main as train_net
from seesaw_d2.weights.converters import convert_mmdet
from tests.conftest import NUM_CLASSES
from tests.weights.converters.command import run
from tests.weights.converters.mmdet_names import mmdet_shapes
from tests.weights.converters.tiny import CLASSES, tiny_config

ROOT = Path(__file__).parents[3]
PLAIN, NORMED = "model = dict(roi_head=dict(mask_head=dict()))", "predictor_cfg=dict(type='NormedConv2d')"
RFS = "dataset=dict(type='ClassBalancedDataset', oversample_thr=1e-3)"
PUBLISHED = "mask_rcnn_r50_fpn_sample1e-3_seesaw_loss_normed_mask_mstrain_2x_lvis_v1-cd0f6a12.pth"
CASCADE = "MODEL.ROI_BOX_CASCADE_HEAD.AVERAGE logits"


def save_empty(path, meta, **model):
    """Write a file of the complete model with a few kilobytes. Every tensor is an expanded zero."""
    state = {name: torch.zeros(()).expand(shape) for name, shape in mmdet_shapes(**model).items()}
    torch.save({"meta": meta, "state_dict": state}, path)


@pytest.mark.parametrize(
    ("name", "meta", "model", "arguments", "command", "last"),
    [
        (
            "latest.pth",
            {"config": f"{RFS}\n{NORMED}", "mmdet_version": "2.11.0"},
            {"depth": 101, "cascade": True, "num_classes": 1203},
            [],
            f"cascade_mask_rcnn_R_101_FPN_rfs_seesaw_normmask_2x.yaml --eval-only WEIGHTS {CASCADE}",
            "box AP 32.8, mask AP 30.1",
        ),
        (
            PUBLISHED,
            {},
            {"depth": 50, "cascade": False, "num_classes": 1203},
            [],
            "mask_rcnn_R_50_FPN_rfs_seesaw_normmask_2x.yaml --eval-only WEIGHTS",
            "box AP 27.6, mask AP 26.8",
        ),
        (
            "epoch_24.pth",
            {},
            {"depth": 101, "cascade": False, "num_classes": 1203},
            ["--mask", "plain"],
            "mask_rcnn_R_101_FPN_random_seesaw_2x.yaml --eval-only WEIGHTS",
            "sampling",
        ),
        (
            "mine.pth",
            {"cfg": PLAIN},
            {"depth": 50, "cascade": True, "num_classes": 38},
            [],
            f"cascade_mask_rcnn_R_101_FPN_random_seesaw_2x.yaml --eval-only WEIGHTS {CASCADE} "
            "MODEL.RESNETS.DEPTH 50 MODEL.ROI_HEADS.NUM_CLASSES 38",
            "DATASETS.REGISTER and DATASETS.TEST",
        ),
    ],
    ids=["config text", "file name", "told", "own data"],
)
def test_the_model_is_found_out(tmp_path, capsys, name, meta, model, arguments, command, last):
    target = tmp_path / "out.pth"
    save_empty(tmp_path / name, meta, **model)
    status, out, err = run(capsys, tmp_path / name, target, *arguments)
    assert (status, err) == (0, "")
    lines, weights = out.splitlines(), f"MODEL.WEIGHTS {target} INPUT.RESIZE opencv"
    assert lines[-1].rstrip(".").endswith(last)
    assert lines[-2] == f"python train_net.py --config-file configs/seesaw/{command.replace('WEIGHTS', weights)}"
    assert target.is_file()


def test_what_was_not_published_has_no_published_numbers(tmp_path, capsys):
    """Test that no AP is printed for Cascade Mask R-CNN with R-50, which MMDetection has not published."""
    save_empty(tmp_path / "in.pth", {"cfg": RFS}, depth=50, cascade=True, num_classes=1203)
    status, out, _ = run(capsys, tmp_path / "in.pth", tmp_path / "out.pth")
    assert status == 0
    assert out.splitlines()[-1].endswith("MODEL.RESNETS.DEPTH 50")


def test_from_another_folder(tmp_path, capsys, monkeypatch):
    """Test that the config is found from another folder, and that the printed command works in this folder."""
    monkeypatch.chdir(tmp_path)
    save_empty("in.pth", {"cfg": RFS}, depth=50, cascade=False, num_classes=1203)
    status, out, err = run(capsys, "in.pth", "out.pth")
    assert (status, err) == (0, "")
    _, script, _, config, *_ = shlex.split(out.splitlines()[-2])
    assert Path(script).samefile(ROOT / "train_net.py")
    assert config == model_zoo.get_config_file("seesaw/mask_rcnn_R_50_FPN_rfs_seesaw_2x.yaml")


def test_a_machine_without_a_gpu(tiny, capsys, monkeypatch):
    """Test that without a GPU, the program prints what to add to the command."""
    source, config, target = tiny  # the config of the CPU
    save_empty(source.with_name("in.pth"), {"cfg": PLAIN}, depth=50, cascade=False, num_classes=1203)
    arguments = [source.with_name("in.pth"), source.with_name("lvis.pth"), "--overwrite"]
    hint = "MODEL.DEVICE cpu to this command:\npython train_net.py "
    for gpu in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        assert (hint in run(capsys, *arguments)[1]) is not gpu
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "MODEL.DEVICE cpu to" not in run(capsys, *arguments, "--opts", "MODEL.DEVICE", "cpu")[1]
    assert "MODEL.DEVICE cpu to" not in run(capsys, source, target, "--config-file", config)[1]


def test_what_nothing_tells_is_asked_for(tmp_path, capsys):
    save_empty(tmp_path / "in.pth", {}, depth=50, cascade=False, num_classes=1203)
    status, _, err = run(capsys, tmp_path / "in.pth", tmp_path / "out.pth")
    assert status == 2
    assert "--mask: " in err
    assert "in.pth" in err
    assert not (tmp_path / "out.pth").exists()


def test_every_tensor_arrives(tiny, capsys):
    source, config, target = tiny
    assert run(capsys, source, target, "--config-file", config)[0] == 0
    expected, _ = convert_mmdet(torch.load(source, weights_only=True)["state_dict"])
    model = build_model(tiny_config("cascade-mask"))
    SeesawCheckpointer(model, strict=True).load(str(target), checkpointables=[])
    found = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_what_is_printed_evaluates(tiny, config_file, capsys):
    """Test that the printed command evaluates on glyphs, with as many categories as the tiny model."""
    source, config, target = tiny
    content = torch.load(source, weights_only=True)
    kept = [*range(NUM_CLASSES), CLASSES, CLASSES + 1]
    for name, value in content["state_dict"].items():
        if name.endswith("cum_samples") or ".fc_cls." in name or ".conv_logits." in name:
            content["state_dict"][name] = value[[row for row in kept if row < len(value)]]
    torch.save(content, source)
    classes = ["MODEL.ROI_HEADS.NUM_CLASSES", NUM_CLASSES]
    status, out, _ = run(capsys, source, target, "--config-file", config, "--opts", *classes)
    assert status == 0
    program, script, *words = shlex.split(out.splitlines()[-1])
    assert (program, script) == ("python", "train_net.py")
    data = load_config(str(config_file)).DATASETS
    words += ["DATASETS.REGISTER", str(data.REGISTER), "DATASETS.TRAIN", str(data.TRAIN)]
    words += ["DATASETS.TEST", str(data.TEST), "OUTPUT_DIR", str(target.parent / "evaluated")]
    words += ["DATALOADER.NUM_WORKERS", "1"]
    assert train_net(words) == 0
    results = json.loads((target.parent / f"evaluated/inference/{data.TEST[0]}/results.json").read_text())
    assert "AP" in results["segm"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-file", "configs/seesaw/mask_rcnn_R_50_FPN_random_seesaw_2x.yaml"], "fit the model of"),
        (["--config-file", "nowhere.yaml"], "nowhere.yaml: "),
        ([], "fit the model of configs/seesaw/cascade_mask_rcnn_R_101"),
    ],
)
def test_a_config_of_another_model(tiny, capsys, arguments, message):
    source, _, target = tiny
    status, _, err = run(capsys, source, target, *arguments)
    assert status == 2
    assert message in err
    assert not target.exists()
