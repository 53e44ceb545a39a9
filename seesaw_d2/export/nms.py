"""NMS within each category, in the form that each kind of file has for it.

torchvision's way into a trace is one NMS of all categories' boxes, moved apart. Its time grows with the square of their
number: minutes for the hundred thousand that LVIS's score threshold leaves. And 1203 categories side by side end a
million pixels away, where float32 has steps of 0.1 pixels.

R regions, C categories, K = C or 1 boxes of a region (class-agnostic), N of C R candidates are left.
"""

import torch
from torch import Tensor
from torchvision.ops import nms


def class_nms(boxes: Tensor, scores: Tensor, min_score: float, max_iou: float) -> tuple[Tensor, Tensor]:
    """Region and category, (N,) int64 each, of what is left above a score by an NMS within each category.

    Args:
        boxes: (R, K, 4).
        scores: (R, C).
        min_score, max_iou: thresholds; scores are above the first, overlaps at most the second.
    """
    if torch.compiler.is_exporting():  # ONNX's operator: class-agnostic boxes once, others as a batch of C
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
    """(N,) indices into boxes (M, 4), scores and category (M,): one category after the other."""
    kept = torch.zeros_like(category, dtype=torch.bool)
    for each in torch.unique(category):
        index = torch.where(category == each)[0]
        kept[index[nms(boxes[index], scores[index], max_iou)]] = True
    return torch.where(kept)[0]


@torch.library.custom_op("seesaw_d2::onnx_nms", mutates_args=())
def onnx_nms(boxes: Tensor, scores: Tensor, max_iou: float, min_score: float) -> Tensor:
    """ONNX's NonMaxSuppression: (N, 3) int64, batch, column and region of what is left.

    Args:
        boxes: (B, R, 4).
        scores: (B, columns, R).
    """
    raise NotImplementedError("a part of exported graphs, for onnxruntime to run")


@onnx_nms.register_fake
def _(boxes, scores, max_iou, min_score):
    return boxes.new_empty((torch.library.get_ctx().new_dynamic_size(), 3), dtype=torch.int64)
