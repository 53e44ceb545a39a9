"""Create the metadata of exported files."""

from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn

from seesaw_d2.export.graph import INPUT, outputs_of
from seesaw_d2.train.tasks import CLASSIFICATION, task_of
from seesaw_d2.version import __version__

FORMAT_VERSION = 1


def describe(cfg: CfgNode, model: nn.Module, dtype: str, names: list[str]) -> dict[str, Any]:
    """Return the metadata of an exported file as a dict of JSON values. ``docs/deployment.md`` describes the keys.

    Args:
        cfg: config of the model.
        model: the exported model.
        dtype: dtype of the exported layers: "float32", "float16" or "bfloat16".
        names: class names.
    """
    classification = task_of(cfg) is CLASSIFICATION
    common = {
        "version": FORMAT_VERSION,
        "task": "classification" if classification else "detection",
        "input": {INPUT: f"uint8 (3, H, W), {cfg.INPUT.FORMAT}, 0 to 255, resized; the model normalizes and pads it"},
        "outputs": outputs_of(model),
        "classes": names,
        "input_format": cfg.INPUT.FORMAT,
        "dtype": dtype,
        "device": str(model.device),
        "seesaw_d2": __version__,
        "torch": torch.__version__,
    }
    if classification:
        return {**common, "size": cfg.INPUT.CLASSIFICATION.SIZE, "crop": cfg.INPUT.CLASSIFICATION.CROP}
    return {
        **common,
        "min_size": cfg.INPUT.MIN_SIZE_TEST,
        "max_size": cfg.INPUT.MAX_SIZE_TEST,
        "resize": cfg.INPUT.RESIZE,
        "score_threshold": cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
        "nms_threshold": cfg.MODEL.ROI_HEADS.NMS_THRESH_TEST,
        "max_detections": cfg.TEST.DETECTIONS_PER_IMAGE,
    }
