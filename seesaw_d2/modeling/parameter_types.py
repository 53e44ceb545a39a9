"""Check the dtype of a detector's parameters."""

import torch
from torch import nn


def check_parameter_type(module: nn.Module, boxes: torch.dtype = torch.float32) -> None:
    """Raise ValueError if a detector's parameters have another dtype than the boxes, as after ``model.half()``.

    Detectron2 computes anchors and boxes in float32. Non-maximum suppression does not support boxes and scores of
    different dtypes, and RoIAlign rounds boxes to the dtype of the features. Autocast does not change the dtype of
    parameters.

    Args:
        module: part of the detector.
        boxes: dtype of its boxes.
    """
    found = next((parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()), boxes)
    if found != boxes:
        raise ValueError(
            f"{type(module).__name__}: expected parameters of dtype {boxes}, the dtype of the boxes, found {found}. "
            "For mixed precision, keep the model in float32, and set SOLVER.AMP.ENABLED True in training, or call the "
            "model under torch.autocast."
        )
