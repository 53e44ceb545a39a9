"""Apply non-maximum suppression (NMS) separately to each category, for TorchScript and ONNX.

Tracing torchvision's ``batched_nms`` records a single NMS over the boxes of all categories. To separate the categories,
torchvision adds a different offset to the coordinates of each category. A single NMS has two disadvantages. First, its
time grows with the square of the number of boxes: it takes minutes for the 100,000 boxes above LVIS's score threshold.
Second, the offsets of 1203 categories reach a million pixels, where float32 has a resolution of only 0.1 pixels.

Shapes: R regions, C categories, K boxes of each region (C, or 1 if class-agnostic).
"""

import torch
from torch import Tensor
from torchvision.ops import nms


def class_nms(boxes: Tensor, scores: Tensor, min_score: float, max_iou: float) -> tuple[Tensor, Tensor]:
    """Apply non-maximum suppression (NMS) separately to each category.

    Args:
        boxes: (R, K, 4), boxes of R regions. A region has one box for each of K = C categories, or K = 1 box for all
            categories.
        scores: (R, C), scores of the C categories.
        min_score: remove detections with a score of at most ``min_score``.
        max_iou: remove a detection if its IoU with a higher-scoring detection of the same category exceeds ``max_iou``.

    Returns:
        the region index and the category index of each kept detection, two int64 tensors.
    """
    # In ONNX's operator NonMaxSuppression, all categories of a batch item have the same boxes. If each category has its
    # own boxes, pass each category as its own batch item. If all categories share the boxes, pass one batch item.
    if torch.compiler.is_exporting():
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
    """Run NMS for one category after the other. Return the indices of the kept boxes.

    Args:
        boxes: (M, 4), M boxes.
        scores, category: (M,), score and category index of each box.
        max_iou: remove a box if its IoU with a higher-scoring box of the same category exceeds ``max_iou``.
    """
    kept = torch.zeros_like(category, dtype=torch.bool)
    for each in torch.unique(category):
        index = torch.where(category == each)[0]
        kept[index[nms(boxes[index], scores[index], max_iou)]] = True
    return torch.where(kept)[0]


@torch.library.custom_op("seesaw_d2::onnx_nms", mutates_args=())
def onnx_nms(boxes: Tensor, scores: Tensor, max_iou: float, min_score: float) -> Tensor:
    """Stand for ONNX's operator NonMaxSuppression in a graph of torch.export. PyTorch itself cannot run this operator.

    Args:
        boxes: (B, R, 4), R boxes in each of B batch items.
        scores: (B, J, R), scores of the boxes for J categories in each batch item.
        max_iou: remove a box if its IoU with a higher-scoring box of the same category exceeds ``max_iou``.
        min_score: remove a box with a score of at most ``min_score``.

    Returns:
        int64 (number of kept boxes, 3): batch index, category index in [0, J), and index in [0, R) of each kept box.
    """
    raise NotImplementedError("seesaw_d2::onnx_nms: only onnxruntime can run this operator")


@onnx_nms.register_fake
def _(boxes, scores, max_iou, min_score):
    return boxes.new_empty((torch.library.get_ctx().new_dynamic_size(), 3), dtype=torch.int64)
