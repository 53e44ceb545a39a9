"""NMS within each category for TorchScript and ONNX.

torchvision's ``batched_nms`` is traced as one NMS over all categories, with an offset per category. Its time grows with
the square of the number of boxes: minutes for the 100,000 boxes that LVIS's score threshold keeps. The offsets of 1203
categories reach a million pixels, where float32 has a resolution of 0.1 pixels.

Shapes: R regions, C categories, K boxes per region (C, or 1 if class-agnostic), N of C R candidates are kept.
"""

import torch
from torch import Tensor
from torchvision.ops import nms


def class_nms(boxes: Tensor, scores: Tensor, min_score: float, max_iou: float) -> tuple[Tensor, Tensor]:
    """Return region and category, (N,) int64 each, of the detections that NMS within each category keeps.

    Args:
        boxes: (R, K, 4).
        scores: (R, C).
        min_score: keep detections with larger scores.
        max_iou: remove detections that overlap a better one by more than this IoU.
    """
    if torch.compiler.is_exporting():  # one batch entry for each of the K boxes per region
        shared = boxes.shape[1] == 1
        columns = scores.t().unsqueeze(0 if shared else 1)
        batch, column, region = torch.ops.seesaw_d2.onnx_nms(
            boxes.transpose(0, 1).contiguous(), columns.contiguous(), max_iou, min_score
        ).unbind(dim=1)
        return region, batch + column
    region, category = (scores > min_score).nonzero().unbind(dim=1)
    column = category if boxes.shape[1] > 1 else torch.zeros_like(category)
    kept = _nms_in_turn(boxes[region, column], scores[region, category], category, max_iou)
    return region[kept], category[kept]


@torch.jit.script_if_tracing
def _nms_in_turn(boxes: Tensor, scores: Tensor, category: Tensor, max_iou: float) -> Tensor:
    """Return (N,) indices into boxes (M, 4), scores (M,) and category (M,) after NMS of one category at a time."""
    kept = torch.zeros_like(category, dtype=torch.bool)
    for each in torch.unique(category):
        index = torch.where(category == each)[0]
        kept[index[nms(boxes[index], scores[index], max_iou)]] = True
    return torch.where(kept)[0]


@torch.library.custom_op("seesaw_d2::onnx_nms", mutates_args=())
def onnx_nms(boxes: Tensor, scores: Tensor, max_iou: float, min_score: float) -> Tensor:
    """ONNX's NonMaxSuppression: (N, 3) int64, the batch, column and region of each kept box.

    Args:
        boxes: (B, R, 4).
        scores: (B, columns, R).
    """
    raise NotImplementedError("only onnxruntime can run this operator")


@onnx_nms.register_fake
def _(boxes, scores, max_iou, min_score):
    return boxes.new_empty((torch.library.get_ctx().new_dynamic_size(), 3), dtype=torch.int64)
