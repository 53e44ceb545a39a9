"""What an exported file says of itself."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn

import seesaw_d2
from seesaw_d2.data.catalog import class_names
from seesaw_d2.engine.tasks import CLASSIFICATION, task_of
from seesaw_d2.errors import SeesawError
from seesaw_d2.export.graph import INPUT, outputs_of

FORMAT_VERSION = 1


def describe(cfg: CfgNode, model: nn.Module, dtype: str) -> dict[str, Any]:
    """The metadata: plain values for JSON, explained in ``docs/deployment.md``."""
    classification = task_of(cfg) is CLASSIFICATION
    names = _names(cfg)
    common = {
        "version": FORMAT_VERSION,
        "task": "classification" if classification else "detection",
        "input": {INPUT: f"uint8 (3, H, W), {cfg.INPUT.FORMAT}, 0 to 255, resized; it is normalized and padded inside"},
        "outputs": outputs_of(model),
        "classes": names,
        "input_format": cfg.INPUT.FORMAT,
        "dtype": dtype,
        "device": str(model.device),
        "seesaw_d2": seesaw_d2.__version__,
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


def _names(cfg: CfgNode) -> list[str]:
    """Those of the test or training set where it is at hand, else numbered ones."""
    count = cfg
    for part in task_of(cfg).num_classes_key.split("."):
        count = count[part]
    for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN):
        if dataset not in DatasetCatalog:
            continue
        try:
            names = class_names(dataset)
        except SeesawError:  # its annotations are elsewhere
            continue
        if names and len(names) == count:
            return list(names)
    return [f"category {index}" for index in range(count)]
