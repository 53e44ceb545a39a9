"""Test that the detections of onnxruntime equal the detections of the model within 1e-4."""

import copy
import re

import numpy as np
import pytest

from seesaw_d2.export import ExportedModel, export_model
from seesaw_d2.export import onnx as onnx_export
from seesaw_d2.export.verification import difference, match
from tests.export.models import (
    CLS_LOSS,
    HEADS,
    LOSSES,
    classifier,
    detector,
    eager,
    image,
    model_of,
    picture,
    threshold_between,
)
from tests.export.test_torchscript import OTHERS

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)
FAST = "normed_mask"


def check(cfg, folder):
    written = export_model(cfg, str(folder), "onnx", picture=picture(96, 128, 1))
    model, exported = model_of(cfg), ExportedModel(written.path, threads=1)
    for shape in OTHERS:
        expected, found = eager(model, image(*shape)), exported(image(*shape))
        assert len(expected["scores"]) > 0
        assert max(difference(expected, found).values()) <= 1e-4
    return exported


@pytest.fixture(scope="module")
def float32_detector(tmp_path_factory):
    """Return a config, images with and without detections, the exported file, and the captured model.

    Capturing takes half a minute. ``test_half_precision`` converts the captured model, so that it is captured once.
    """
    folder, captured = tmp_path_factory.mktemp("float32_detector"), []

    def capture(model, example):
        captured.append(real(model, example))
        return copy.deepcopy(captured[0])

    cfg = detector(folder, *HEADS[FAST])
    images = threshold_between(cfg, image(96, 128, 1), image(64, 96, 5))
    real = onnx_export.captured
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_export, "captured", capture)
        written = export_model(cfg, str(folder), "onnx", picture=images[0].transpose(1, 2, 0))
    return cfg, images, written, captured[0]


def test_a_detector(float32_detector):
    """Test scores of Seesaw Loss and normalized masks on images of other sizes. One image has no detections."""
    cfg, images, written, _ = float32_detector
    exported, model = ExportedModel(written.path, threads=1), model_of(cfg)
    expected = eager(model, images[0])
    assert len(expected["scores"]) > 0
    assert max(difference(expected, exported(images[0])).values()) <= 1e-4
    assert exported(images[1])["masks"].shape == (0, 28, 28)
    for shape in OTHERS:
        assert max(difference(eager(model, image(*shape)), exported(image(*shape))).values()) <= 1e-4
    assert exported.metadata["classes"][0] == "category 0"
    with open(written.path, "rb") as file:
        assert not re.search(rb"site-packages|\.py\b", file.read())  # no paths of the exporting machine


@pytest.mark.parametrize(
    "head", [FAST, *(pytest.param(head, marks=pytest.mark.slow) for head in HEADS if head != FAST)]
)
def test_half_precision(head, tmp_path, monkeypatch, float32_detector):
    """Test float16 layers: float32 outputs close to the float32 model, half the file size, images of other sizes."""
    cfg, (array, _), single, captured = float32_detector
    if head == FAST:
        monkeypatch.setattr(onnx_export, "captured", lambda model, example: copy.deepcopy(captured))
        arrays = [array, np.ascontiguousarray(array[:, :-7, :-9]), np.pad(array, ((0, 0), (0, 70), (5, 30)))]
    else:
        cfg, arrays = detector(tmp_path, *HEADS[head]), [image(*shape) for shape in OTHERS]
    written = export_model(cfg, str(tmp_path), "onnx", dtype="float16", picture=picture(96, 128, 1))
    exported, model = ExportedModel(written.path, threads=1), model_of(cfg)
    assert exported.metadata["dtype"] == "float16"
    for array in arrays:
        expected, found = eager(model, array), exported(array)
        assert {values.dtype.name for values in found.values()} == {"float32", "int64"}
        assert 0 < abs(found["scores"][0] - expected["scores"][0]) < 0.01
        assert len(match(expected, found)) > 0.8 * len(expected["scores"]) > 0
        differences = difference(expected, found, mean_masks=True)
        assert differences["boxes"] < 0.1
        assert max(differences["scores"], differences.get("masks", 0)) < 0.01
    if head == FAST:
        weights = sum(each.numel() for each in model.parameters())
        assert written.size < single.size - 1.5 * weights


def test_half_precision_of_an_image_classifier(tmp_path):
    cfg = classifier(tmp_path)
    written = export_model(cfg, str(tmp_path), "onnx", dtype="float16", picture=picture(16, 20, 1))
    array = np.ascontiguousarray(image(16, 16, 3)[:, :8, :8])
    found = ExportedModel(written.path, threads=1)(array)["probabilities"]
    assert 0 < np.abs(found - eager(model_of(cfg), array)["probabilities"]).max() < 0.01


def test_image_classifier(tmp_path):
    cfg = classifier(tmp_path)
    written = export_model(cfg, str(tmp_path), "onnx", picture=picture(16, 20, 1))
    array = np.ascontiguousarray(image(16, 16, 3)[:, :8, :8])
    found = ExportedModel(written.path, threads=1)(array)["probabilities"]
    np.testing.assert_allclose(found, eager(model_of(cfg), array)["probabilities"], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("head", [name for name in HEADS if name != FAST])
def test_heads(head, tmp_path):
    check(detector(tmp_path, *HEADS[head]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss, tmp_path):
    check(detector(tmp_path, f"{CLS_LOSS}.NAME", loss), tmp_path)
