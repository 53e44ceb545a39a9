"""Test that a resumed training equals the uninterrupted training bit for bit, with deterministic kernels."""

import os

import pytest
import torch

from tests.cuda.devices import on_gpu
from tests.train.resumed_runs import assert_same_runs
from tests.train.test_resume import run  # noqa: F401  (a fixture)

pytestmark = on_gpu
STATES = {
    "float32": (),
    "float16": ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "float16"),
    "bfloat16": ("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.DTYPE", "bfloat16"),
    "eqlv2": ("MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "EqualizationLossV2"),
    "pcb": (
        *("MODEL.ROI_HEADS.NAME", "IterativeROIHeads", "MODEL.ROI_BOX_HEAD.CLS_LOSS.NAME", "PairwiseClassBalance"),
        *("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", "False", "MODEL.ROI_BOX_HEAD.CLS_LOSS.PCB.START_ITER", "4"),
    ),
    "cascade": ("MODEL.ROI_HEADS.NAME", "SeesawCascadeROIHeads", "MODEL.RPN.POST_NMS_TOPK_TRAIN", "2000"),
}


@pytest.fixture
def _deterministic(monkeypatch):
    """Select deterministic kernels. Operators without a deterministic kernel give a warning.

    In this mode, torchvision computes RoIAlign with PyTorch's operators, which are not compiled in this test.
    """
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    benchmark = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    with torch.compiler.set_stance("force_eager"):
        yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark


@pytest.mark.usefixtures("_deterministic")
@pytest.mark.parametrize("name", STATES)
def test_resumed(run, tmp_path, name):  # noqa: F811
    options = ("MODEL.DEVICE", "cuda", *STATES[name])
    run(tmp_path / "whole", *options)
    run(tmp_path / "parts", *options, stop=3)
    run(tmp_path / "parts", *options)
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")
