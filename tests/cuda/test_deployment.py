"""Test torch.compile, TorchScript and ONNX with a model on the GPU."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from seesaw_d2.export import ExportedModel, export_model
from seesaw_d2.losses import LOSS_REGISTRY
from seesaw_d2.train.acceleration import accelerate, try_compiler
from tests.cuda.devices import assert_near, on_gpu
from tests.export.models import HEADS, detector, eager, image, model_of, picture
from tests.losses.test_contract import batch, make, total
from tests.modeling.tiny import tiny_config


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=on_gpu)])
def test_a_compiled_backbone(device):
    try_compiler(torch.device(device))
    torch.manual_seed(0)
    cfg = tiny_config("MODEL.DEVICE", device, "MODEL.COMPILE", "['backbone']", "SOLVER.TF32", "none")
    plain, compiled = build_model(cfg), build_model(cfg)
    compiled.load_state_dict(plain.state_dict())
    accelerate(compiled, cfg)
    x = torch.rand(2, 3, 64, 64, device=device)
    for name, expected in plain.backbone(x).items():
        torch.testing.assert_close(compiled.backbone(x)[name], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=on_gpu)])
@pytest.mark.parametrize("name", ["SeesawLoss", "EqualizationLossV2", "FocalLoss"])
def test_a_compiled_loss(name, device):
    loss = make(name, LOSS_REGISTRY.get(name).backgrounds[0])
    logits, labels = batch(loss, 64, dtype=torch.float32)
    expected = total(make(name, loss.background)(logits.detach().double(), labels))
    found = total(torch.compile(loss.to(device))(logits.to(device), labels.to(device)))
    assert_near(found, expected, torch.float32, 10)


CASES = [("cpu", "normed_mask", "bfloat16")]  # one case on the CPU, to find mistakes in the test itself
CASES += [
    pytest.param("cuda", head, kind, marks=on_gpu)
    for head in ("seesaw", "normed_mask", "cascade")
    for kind in ("float32", "bfloat16", "float16")
]


@pytest.mark.parametrize(("device", "head", "kind"), CASES)
def test_torchscript(device, head, kind, tmp_path):
    """Test that the exported model is compared with the model before writing, and is close to the model on the CPU."""
    cfg = detector(tmp_path, *HEADS[head], "MODEL.DEVICE", device)
    written = export_model(cfg, str(tmp_path), "torchscript", dtype=kind, picture=picture(96, 128, 1))
    exported = ExportedModel(written.path)
    assert exported.metadata["dtype"] == kind
    cfg.MODEL.DEVICE = "cpu"
    found, full = exported(image(64, 96, 5)), eager(model_of(cfg), image(64, 96, 5))
    assert len(full["scores"])
    assert abs(found["scores"][0] - full["scores"][0]) < 0.05


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=on_gpu)])
def test_onnx_in_float16(device, tmp_path):
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    cfg = detector(tmp_path, *HEADS["normed_mask"])
    written = export_model(cfg, str(tmp_path), "onnx", dtype="float16", picture=picture(96, 128, 1))
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("exported, but onnxruntime has no CUDAExecutionProvider (onnxruntime-gpu has)")
    session = onnxruntime.InferenceSession(written.path, providers=["CUDAExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    outputs = session.run(None, {session.get_inputs()[0].name: image(64, 96, 5)})
    found = dict(zip(names, outputs, strict=True))
    expected = eager(model_of(cfg), image(64, 96, 5))
    assert np.isfinite(found["scores"]).all()
    assert abs(found["scores"].max() - expected["scores"].max()) < 0.02
