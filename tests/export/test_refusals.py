"""Test that errors name the parts that cannot be exported, and that no file is written."""

import re

import pytest
import torch
from detectron2.layers import ROIAlignRotated
from detectron2.modeling import ROI_HEADS_REGISTRY
from export import main

from seesaw_d2.errors import ConfigError, OutputError, WeightsError
from seesaw_d2.export import ExportedModel, exporting
from seesaw_d2.export import onnx_requirements as requirements
from seesaw_d2.export.supported_models import check_exportable
from seesaw_d2.modeling import SeesawROIHeads
from seesaw_d2.predict.predictor import load_predictor
from tests.export.models import detector, model_of, picture
from tests.modeling.tiny import tiny_config


def check_model(cfg):
    """Return the error of an export that fails before weights are loaded."""
    cfg.MODEL.WEIGHTS = "not looked at"
    with pytest.raises(ConfigError) as raised:
        load_predictor(cfg, check_exportable)
    return str(raised.value)


RETINANET = ("MODEL.META_ARCHITECTURE", "RetinaNet", "MODEL.RETINANET.IN_FEATURES", "['p2', 'p3', 'p4']")
RETINANET += ("MODEL.ANCHOR_GENERATOR.SIZES", "[[24], [40], [60]]")
PANOPTIC = ("MODEL.META_ARCHITECTURE", "PanopticFPN", "MODEL.SEM_SEG_HEAD.IN_FEATURES", "['p2', 'p3', 'p4']")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (RETINANET, "MODEL.META_ARCHITECTURE: .*, found RetinaNet"),
        (("MODEL.META_ARCHITECTURE", "ProposalNetwork"), "MODEL.META_ARCHITECTURE: .*, found ProposalNetwork"),
        (PANOPTIC, "MODEL.META_ARCHITECTURE: .*, found PanopticFPN"),
        (("MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"), "PROPOSAL_GENERATOR.NAME: .*, found Precomputed"),
        (("MODEL.KEYPOINT_ON", "True"), "MODEL.KEYPOINT_ON: .*, found True"),
        (("MODEL.ROI_MASK_HEAD.POOLER_TYPE", "ROIPool"), "MODEL.ROI_MASK_HEAD.POOLER_TYPE: .*, found RoIPool"),
        (("MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIPool"), "MODEL.ROI_BOX_HEAD.POOLER_TYPE: .*, found RoIPool"),
        (("TEST.AUG.ENABLED", "True"), "TEST.AUG.ENABLED: .*, found True"),
    ],
)
def test_parts_of_a_model(overrides, message):
    assert re.search(message, check_model(tiny_config(*overrides)))


def test_what_onnx_alone_cannot_hold(tmp_path, monkeypatch):
    """Test that ONNX does not support IoU thresholds above 1 (no NMS) and weights of 2 GiB, unlike TorchScript."""
    cfg = detector(tmp_path)
    model = model_of(cfg)
    for key in ("MODEL.RPN.NMS_THRESH", "MODEL.ROI_HEADS.NMS_THRESH_TEST"):
        other = cfg.clone()
        other.merge_from_list([key, 1.5])
        check_exportable(other, model)
        with pytest.raises(ConfigError, match=rf"{key}: .*\[0, 1\].*found 1.5"):
            check_exportable(other, model, "onnx")
    check_exportable(cfg, model, "onnx")
    model.backbone.large = torch.nn.Parameter(torch.empty(2**29, device="meta"), requires_grad=False)
    check_exportable(cfg, model)
    with pytest.raises(ConfigError, match=r"--format onnx: .*2 GiB.*, found .*2\.0 GiB"):
        check_exportable(cfg, model, "onnx")


class HeadsThatCannotBeTraced(SeesawROIHeads):
    def forward(self, *args):
        if torch.jit.is_tracing() or torch.compiler.is_exporting():
            raise RuntimeError("an operator of one's own\nand where it stands")
        return super().forward(*args)


@pytest.mark.parametrize("file_format", ["torchscript", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_part_of_ones_own_that_cannot_be_captured(file_format, tmp_path, monkeypatch):
    if file_format == "onnx":
        pytest.importorskip("onnxscript", reason="only exports to ONNX need this optional package")
    monkeypatch.setitem(ROI_HEADS_REGISTRY._obj_map, "Own", HeadsThatCannotBeTraced)
    cfg = detector(tmp_path, "MODEL.ROI_HEADS.NAME", "Own")
    expected = f"--format {file_format}: .*HeadsThatCannotBeTraced: "
    with pytest.raises(ConfigError, match=f"{expected}.*an operator of one's own$"):
        exporting.export_model(cfg, str(tmp_path / "out"), file_format, picture=picture(64, 64, 1))
    assert not (tmp_path / "out").exists()


def test_rotated_boxes(tmp_path):
    """Test the error for rotated boxes. Replace only the pooler, because rotated operators need compiled code."""
    cfg = detector(tmp_path)
    model = model_of(cfg)
    model.roi_heads.box_pooler.level_poolers[0] = ROIAlignRotated((7, 7), 0.25, 0)
    with pytest.raises(ConfigError, match=r"ROI_BOX_HEAD.POOLER_TYPE: .* found ROIAlignRotated"):
        check_exportable(cfg, model)


@pytest.fixture
def arguments(config_file, tmp_path):
    from detectron2.modeling import build_model

    from seesaw_d2.train import load_config

    torch.save({"model": build_model(load_config(str(config_file))).state_dict()}, tmp_path / "model.pth")
    return {
        "--config-file": str(config_file),
        "--format": "torchscript",
        "--output": str(tmp_path / "out"),
        "MODEL.WEIGHTS": str(tmp_path / "model.pth"),
    }


def words(arguments):
    return [word for pair in arguments.items() if pair[1] is not None for word in pair]


def test_the_command(arguments, glyphs, tmp_path, capsys, recwarn):
    sample = next((glyphs / "images/val").iterdir())
    given = words({"--sample-image": str(sample), **arguments, "MODEL.DEVICE": "auto"})
    recwarn.clear()
    assert main(given) == 0
    assert not [each for each in recwarn if "torch.jit" in str(each.message)]  # the guide mentions the deprecation
    printed = capsys.readouterr().out
    assert "model.ts: " in printed
    assert "largest difference: boxes 0" in printed
    assert ExportedModel(tmp_path / "out/model.ts").metadata["classes"][0] != "category 0"  # names of the dataset
    before = (tmp_path / "out/model.ts").read_bytes()
    assert main(given) == 2
    assert "model.ts: " in capsys.readouterr().err
    assert (tmp_path / "out/model.ts").read_bytes() == before
    assert main(["--overwrite", *given]) == 0
    (tmp_path / "out/model.ts").write_text("mine")
    assert main(["--overwrite", *given]) == 2
    assert "model.ts: " in capsys.readouterr().err
    assert (tmp_path / "out/model.ts").read_text() == "mine"


def test_a_model_that_a_gpu_trained_in_float16(arguments):
    assert main(words({**arguments, "SOLVER.AMP.ENABLED": "True", "SOLVER.AMP.DTYPE": "float16"})) == 0


def test_data_is_not_needed(arguments, tmp_path, capsys):
    given = {**arguments, "DATASETS.REGISTER": "[{'NAME': 'gone', 'JSON': 'gone.json', 'IMAGES': '.'}]"}
    assert main(words({**given, "DATASETS.TRAIN": "('gone',)", "DATASETS.TEST": "('gone',)"})) == 0
    assert ": DATASETS.REGISTER[0]" in capsys.readouterr().out
    assert ExportedModel(tmp_path / "out/model.ts").metadata["classes"][0] == "category 0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--format": "caffe2"}, "--format: "),
        ({"--dtype": "int8"}, "--dtype: "),
        ({"--dtype": "bfloat16", "--format": "onnx"}, "--dtype: "),
        ({"--output": "model.pth"}, "--output model.pth: "),
        ({"--sample-image": "none.png"}, "none.png: "),
        ({"MODEL.WEIGHTS": None}, "MODEL.WEIGHTS: "),
        ({"MODEL.WEIGHTS": "none.pth"}, "none.pth: "),
        ({"MODEL.ROI_HEADS.NUM_CLASSES": "9"}, "NUM_CLASSES"),
        ({"MODEL.KEYPOINT_ON": "True"}, "MODEL.KEYPOINT_ON: "),
        ({"MODEL.ROI_HEADS.CALIBRATION.GAMMA": "0.3"}, "MODEL.ROI_HEADS.CALIBRATION.GAMMA "),  # without effect
        ({"MODEL.ROI_HEADS.NAME": "StandardROIHeads"}, "CLS_LOSS.NAME "),
    ],
)
def test_wrong_turns(arguments, tmp_path, capsys, change, message):
    changed = {**{key: value for key, value in change.items() if key.startswith("--")}, **arguments, **change}
    before = sorted(tmp_path.rglob("*"))
    assert main(words(changed)) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_of_another_model_are_bounded(arguments, capsys):
    assert main(words({**arguments, "MODEL.SMALL_RESNET.WIDTHS": "[8, 12, 16]"})) == 2
    message = capsys.readouterr().err
    assert "model.pth" in message
    assert 10 < message.count("expected shape") <= 20
    assert len(message) < 4000


def test_a_file_that_says_something_else_is_not_written(tmp_path, monkeypatch):
    cfg = detector(tmp_path)
    monkeypatch.setattr(exporting, "predict", lambda model, image, dtype: {"scores": torch.zeros(1)})
    with pytest.raises(OutputError, match="scores"):
        exporting.export_model(cfg, str(tmp_path / "out"), "torchscript", picture=picture(64, 64, 1))
    assert not (tmp_path / "out").exists()


def test_without_the_extra(arguments, tmp_path, monkeypatch, capsys):
    """Test that missing ONNX packages are found before any computation, and that TorchScript does not need them."""
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    monkeypatch.setattr(exporting, "load_predictor", None)
    assert main(words({**arguments, "--format": "onnx"})) == 2
    assert "onnx, onnxscript, onnxruntime" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    assert main(words(arguments)) == 0


def test_files_that_are_no_exported_models(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no model")
    torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.zeros(1)), str(tmp_path / "a.ts"))
    for name in ("a.ts", "none.ts"):
        with pytest.raises(WeightsError, match=name):
            ExportedModel(tmp_path / name)
    pytest.importorskip("onnxruntime")
    with pytest.raises(WeightsError, match=r"a\.onnx: "):
        ExportedModel(tmp_path / "a.onnx")
