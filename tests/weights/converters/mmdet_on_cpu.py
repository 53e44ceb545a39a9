"""Run MMDetection on a CPU without a compiler: replace mmcv's compiled operators by torchvision's."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

INSTALL = (
    "pip install --no-deps --target FOLDER mmdet==3.3.0 mmcv-lite==2.1.0 mmengine==0.10.7 addict yapf rich "
    "terminaltables shapely platformdirs markdown-it-py mdurl pygments 'setuptools<80', and FOLDER in PYTHONPATH"
)


def lacking() -> str:
    """Return a text about missing packages of MMDetection and how to install them, or ""."""
    missing = [name for name in ("mmdet", "mmcv", "mmengine") if importlib.util.find_spec(name) is None]
    return f"needs {', '.join(missing)}: {INSTALL}" if missing else ""


def require_mmdet() -> None:
    """Make MMDetection importable without compiled operators. Skip the test if MMDetection is not installed."""
    if reason := lacking():
        pytest.skip(reason)
    sys.modules.setdefault("mmcv._ext", _operators())


def _operators() -> types.ModuleType:
    module = types.ModuleType("mmcv._ext")
    module.nms = _nms
    module.roi_align_forward = _roi_align
    module.__getattr__ = _absent  # mmcv checks at import whether other operators exist
    return module


def _absent(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def operator(*_: Any, **__: Any):
        raise NotImplementedError(f"mmcv._ext.{name}")

    return operator


def _nms(boxes, scores, iou_threshold, offset):
    assert offset == 0
    return torchvision.ops.nms(boxes, scores, float(iou_threshold))


def _roi_align(input, rois, output, argmax_y, argmax_x, aligned_height, aligned_width, **options):
    assert options["pool_mode"] == 1  # only average pooling is supported
    output.copy_(
        torchvision.ops.roi_align(
            input,
            rois,
            (aligned_height, aligned_width),
            options["spatial_scale"],
            options["sampling_ratio"],
            options["aligned"],
        )
    )


def mmdet_config(name: str):
    """Return one of MMDetection's configs, such as "seesaw_loss/mask-rcnn_r50_fpn_seesaw-loss_random-ms-2x_lvis-v1"."""
    import mmdet
    from mmengine.config import Config

    return Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs" / f"{name}.py")


def build_mmdet(cfg) -> torch.nn.Module:
    """Return the model of a config with random weights, in evaluation mode."""
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules()
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model).eval()
