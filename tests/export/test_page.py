"""Test that the programs in docs/deployment.md print the detections of the model."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from detectron2.modeling import build_model

from seesaw_d2 import model_zoo
from seesaw_d2.data.images.resizing import build_resizing
from seesaw_d2.export import ExportedModel, export_model
from seesaw_d2.export.supported_models import FORMATS
from seesaw_d2.export.verification import difference
from seesaw_d2.predict.predictor import BatchPredictor, prepare
from tests.export.models import detector, eager, model_of, picture
from tests.modeling.tiny import tiny_config

PAGE = (Path(__file__).parents[2] / "docs/deployment.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PROGRAM = next(block for block in BLOCKS if "onnxruntime" in block)
TORCHSCRIPT = next(block for block in BLOCKS if "torch.jit" in block)
BATCHES = next(block for block in BLOCKS if "BatchPredictor" in block)
# With shorter side 800 and longer side 1333, multiplying these sides (height, width) by
# min(800 / shorter, 1333 / longer) gives other sizes than Detectron2.
UNUSUAL_SIZES = [(252, 744), (744, 252), (1642, 5332), (1258, 2108)]


def run_without_model(program: str, about: dict, size: tuple[int, int], monkeypatch) -> dict:
    """Run a program of the page with a model that detects nothing. Return the program's variables.

    Args:
        program: code of the program.
        about: metadata of the model.
        size: height and width of the picture.
    """
    empty = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 28, 28), torch.zeros(0)
    meta = SimpleNamespace(custom_metadata_map={"seesaw_d2": json.dumps(about)})
    session = SimpleNamespace(get_modelmeta=lambda: meta, run=lambda names, inputs: empty)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=lambda path: session))

    def load(path, _extra_files):
        _extra_files["metadata.json"] = json.dumps(about)
        return lambda tensor: empty

    monkeypatch.setattr(torch.jit, "load", load)
    cv2.imwrite("picture.png", np.zeros((*size, 3), np.uint8))
    names: dict = {}
    exec(program, names)
    return names


@pytest.mark.slow
def test_the_program(tmp_path, monkeypatch, capsys):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    assert PROGRAM.count("\n") <= 28
    cfg = detector(tmp_path)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("picture.png", picture(96, 128, 1))
    written = export_model(cfg, "output/model.onnx", "onnx", picture=picture(96, 128, 1))
    names = {}
    exec(PROGRAM, names)
    printed = [line.rsplit(" ", 5) for line in capsys.readouterr().out.splitlines()]
    (expected,) = BatchPredictor(cfg)([picture(96, 128, 1)])
    assert len(printed) == len(expected) == written.detections[0] > 0
    for line, category, score, box in zip(
        printed, expected.pred_classes, expected.scores, expected.pred_boxes.tensor, strict=True
    ):
        assert line[0] == f"category {category}"
        assert float(line[1]) == pytest.approx(float(score), abs=1e-3)
        assert np.abs(np.array(line[2:], dtype=float) - box.numpy()).max() <= 0.51
    assert names["inputs"]["image"].shape[0] == 3
    assert (names["pasted"] == expected.pred_masks[-1].numpy()).mean() > 0.98


@pytest.mark.parametrize("min_size", [800, 0])
@pytest.mark.parametrize("size", [(3000, 4000), (4000, 3000), (479, 641), (20, 31)])
def test_the_program_at_the_border_of_a_picture(size, min_size, tmp_path, monkeypatch, capsys):
    """Test a box of the whole picture, whose size times the scale is not an integer. Replace only the model."""
    about = {"min_size": min_size, "max_size": 1333, "resize": "pillow", "input_format": "BGR", "classes": ["all"]}

    def run(names, inputs):
        height, width = inputs["image"].shape[1:]
        assert min_size or (height, width) == size  # 0: no resizing
        box = np.array([[0, 0, width, height]], np.float32)
        return [box, np.array([0]), np.ones((1, 28, 28), np.float32), np.array([0.5], np.float32)]

    meta = SimpleNamespace(custom_metadata_map={"seesaw_d2": json.dumps(about)})
    session = SimpleNamespace(get_modelmeta=lambda: meta, run=run)
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=lambda path: session))
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("picture.png", np.zeros((*size, 3), np.uint8))
    names = {}
    exec(PROGRAM, names)
    assert capsys.readouterr().out == f"all 0.500 0 0 {size[1]} {size[0]}\n"
    assert names["pasted"].all()


@pytest.mark.parametrize("resize", ["pillow", "pytorch", "opencv"])
@pytest.mark.parametrize("program", [PROGRAM, TORCHSCRIPT], ids=["onnx", "torchscript"])
def test_the_programs_resize_to_the_same_size(program, resize, tmp_path, monkeypatch):
    """Test pictures whose resized width or height is a half before rounding. Replace only the model."""
    about = {"min_size": 128, "max_size": 1000, "resize": resize, "input_format": "BGR", "classes": []}
    monkeypatch.chdir(tmp_path)
    for size in ((256, 333), (333, 256), (20, 31)):
        names = run_without_model(program, about, size, monkeypatch)
        cfg = tiny_config("INPUT.RESIZE", resize, "INPUT.MIN_SIZE_TEST", "128", "INPUT.MAX_SIZE_TEST", "1000")
        assert names["image"].shape[:2] == prepare(cfg, np.zeros((*size, 3), np.uint8)).shape[1:]


@pytest.mark.parametrize("resize", ["pillow", "pytorch", "opencv"])
@pytest.mark.parametrize("program", [PROGRAM, TORCHSCRIPT], ids=["onnx", "torchscript"])
def test_the_programs_compute_the_size_as_in_evaluation(program, resize, tmp_path, monkeypatch):
    """Test many sizes, because another order of operations changes only 1 in 10,000 sizes."""
    about = {"min_size": 800, "max_size": 1333, "resize": resize, "input_format": "BGR", "classes": []}
    monkeypatch.chdir(tmp_path)
    names = run_without_model(program, about, (4, 4), monkeypatch)
    random = np.random.default_rng(0)
    sides = random.integers(1, 6000, (20_000, 2))
    sides[::20, 1] = sides[::20, 0]
    for short, long in ((800, 1333), (128, 128), (640, 333), (0, 1333)):
        names["about"] |= {"min_size": short, "max_size": long}
        (resizing,) = build_resizing(tiny_config("INPUT.RESIZE", resize), [T.ResizeShortestEdge(short, max_size=long)])
        for height, width in [*sides.tolist(), *UNUSUAL_SIZES]:
            expected = resizing.get_output_shape(height, width, short, long) if short else (height, width)
            assert tuple(names["resized_size"](width, height)) == expected[::-1]


def test_the_program_for_torchscript(tmp_path, monkeypatch):
    cfg = detector(tmp_path)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("picture.png", picture(64, 96, 5))
    export_model(cfg, "output/model.ts", "torchscript", picture=picture(96, 128, 1))
    names = {}
    exec(TORCHSCRIPT, names)
    given = np.ascontiguousarray(names["channels"].transpose(2, 0, 1))
    assert given.shape[1:] == prepare(cfg, picture(64, 96, 5)).shape[1:]
    expected = eager(model_of(cfg), given)
    found = {name: names[name].numpy() for name in expected}
    found["boxes"] /= np.tile([96 / given.shape[2], 64 / given.shape[1]], 2)
    assert max(difference(expected, found).values()) <= 1e-5
    assert names["about"]["classes"][0] == "category 0"


def test_the_program_for_batches(tmp_path, monkeypatch, capsys):
    """Test the program with the untrained quickstart model and other images."""
    monkeypatch.chdir(tmp_path)
    cfg = model_zoo.get_cfg("quickstart/mask_rcnn_glyphs_seesaw.yaml")
    for folder in ("output/quickstart", "datasets/glyphs/images/val"):
        (tmp_path / folder).mkdir(parents=True)
    torch.save({"model": build_model(cfg).state_dict()}, "output/quickstart/model_final.pth")
    for number in range(1201, 1209):
        cv2.imwrite(f"datasets/glyphs/images/val/{number:012}.jpg", picture(128, 128, number))
    exec(BATCHES, {})
    assert capsys.readouterr().out.count("tensor(") == 2 * 8


def test_what_the_page_names(tmp_path):
    assert all(f"--format {name}" in PAGE for name in FORMATS)
    path = export_model(detector(tmp_path), str(tmp_path), "torchscript", picture=picture(64, 64, 1)).path
    metadata = ExportedModel(path).metadata
    inside = {"version", "task", "input", "outputs", "seesaw_d2", "torch"}  # described in other words
    assert all(f"`{name}`" in PAGE for name in set(metadata) - inside)
    assert all(f"`{name}`" in PAGE for name in metadata["outputs"])
