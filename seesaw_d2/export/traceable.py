"""Replace functions of Detectron2 by functions that torch.export and tracing can capture as a graph.

Detectron2 selects proposals and detections with ``if`` and ``len`` on intermediate results. torch.export cannot capture
these expressions, and tracing would record their values for the traced image as constants. The functions in this module
use only tensor operations. For a single image, they return the same boxes and scores as Detectron2, in the same order,
even if there are no detections.

Shapes: R regions, C categories, K boxes of each region (C, or 1 if class-agnostic), A anchors of a pyramid level.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from detectron2.export.torchscript_patch import patch_builtin_len
from detectron2.layers import Conv2d
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor
from torchvision.ops import nms

from seesaw_d2.export.nms import class_nms

_INFERENCE_IN = (
    "detectron2.modeling.roi_heads.fast_rcnn",
    "detectron2.modeling.roi_heads.cascade_rcnn",
    "seesaw_d2.modeling.cascade",
)
_LEN_IN = ("seesaw_d2.modeling.box_predictor",)


@contextmanager
def traceable() -> Iterator[None]:
    """Return a context manager that replaces functions of Detectron2, so that a model can be exported as a graph.

    The replacements use only tensor operations, and no ``if`` or ``len`` on intermediate results.
    """
    replaced = {
        "detectron2.modeling.proposal_generator.rpn.find_top_rpn_proposals": select_proposals,
        **{f"{module}.fast_rcnn_inference": select_detections for module in _INFERENCE_IN},
    }
    with ExitStack() as stack:
        stack.enter_context(patch_builtin_len(_LEN_IN))
        # Instances checks that all its fields have the same length. Disable this check, because no length is known
        # while PyTorch captures the graph.
        stack.enter_context(mock.patch("detectron2.structures.instances.len", _any_length, create=True))
        for name, function in replaced.items():
            stack.enter_context(mock.patch(name, function))
        for owner, name, function in (
            (ImageList, "from_tensors", staticmethod(pad_image)),
            (ROIPooler, "forward", pool),
            (Boxes, "__init__", hold),
            (Boxes, "clip", clip),
            (Conv2d, "forward", convolve),
        ):
            stack.enter_context(mock.patch.object(owner, name, function))
        yield


def pad_image(tensors, size_divisibility=0, pad_value=0.0, padding_constraints=None) -> ImageList:
    """Pad a list of one image tensor. This function replaces ``ImageList.from_tensors`` and has the same arguments."""
    (image,) = tensors
    height, width = image.shape[-2:]
    square = (padding_constraints or {}).get("square_size", 0)
    step = max(size_divisibility, 1)
    bottom, right = ((square or (size + step - 1) // step * step) - size for size in (height, width))
    padded = F.pad(image, (0, right, 0, bottom), value=pad_value)
    return ImageList(padded.unsqueeze(0), [(height, width)])


def select_proposals(
    proposals, pred_objectness_logits, image_sizes, nms_thresh, pre_nms_topk, post_nms_topk, min_box_size, training
) -> list[Instances]:
    """Return the proposals of a single image. This function replaces Detectron2's ``find_top_rpn_proposals``.

    Args:
        proposals: for each pyramid level, the boxes of its A anchors, (1, A, 4).
        pred_objectness_logits: for each pyramid level, the logits of its A anchors, (1, A).
        image_sizes, nms_thresh, pre_nms_topk, post_nms_topk, min_box_size, training: the arguments of
            ``find_top_rpn_proposals``.
    """
    (size,) = image_sizes
    boxes, scores = [], []
    for level_boxes, logits in zip(proposals, pred_objectness_logits, strict=True):
        count = _smaller(logits.shape[1], pre_nms_topk)
        # Sort the scores as Detectron2 does. topk is faster, but may select other boxes among equal scores.
        ordered, index = logits[0].sort(descending=True)
        level_scores, found = ordered[:count], Boxes(level_boxes[0][index[:count]])
        finite = found.tensor.isfinite().all(dim=1) & level_scores.isfinite()
        found.clip(size)
        usable = (finite & found.nonempty(min_box_size)).nonzero()[:, 0]
        clipped, level_scores = found.tensor[usable], level_scores[usable]
        best = nms(clipped, level_scores, nms_thresh)
        boxes.append(clipped[best])
        scores.append(level_scores[best])
    ordered, index = torch.cat(scores).sort(descending=True, stable=True)
    result = Instances(size)
    result.proposal_boxes = Boxes(torch.cat(boxes)[index[:post_nms_topk]])
    result.objectness_logits = ordered[:post_nms_topk]
    return [result]


def select_detections(boxes, scores, image_shapes, score_thresh, nms_thresh, topk_per_image):
    """Return the detections of a single image. This function replaces Detectron2's ``fast_rcnn_inference``.

    Args:
        boxes: list of one tensor with the boxes of R regions, (R, 4 K). A region has one box for each of K = C
            categories, or K = 1 box for all categories.
        scores: list of one tensor with the scores of the C categories and of background (last), (R, C + 1).
        image_shapes, score_thresh, nms_thresh, topk_per_image: the arguments of ``fast_rcnn_inference``.

    Returns:
        a list of one ``Instances``, and a list of one tensor with the region index of each detection.
    """
    (size,), (scores,), (boxes,) = image_shapes, scores, boxes
    finite = boxes.isfinite().all(dim=1) & scores.isfinite().all(dim=1)
    scores = scores[:, :-1].masked_fill(~finite.unsqueeze(1), -math.inf)
    found = Boxes(boxes.reshape(-1, 4))
    found.clip(size)
    found_boxes = found.tensor.view(boxes.shape[0], boxes.shape[1] // 4, 4)
    region, category = class_nms(found_boxes, scores, score_thresh, nms_thresh)
    chosen, best = scores[region, category].sort(descending=True, stable=True)
    if topk_per_image >= 0:
        chosen, best = chosen[:topk_per_image], best[:topk_per_image]
    region, category = region[best], category[best]
    result = Instances(size)
    result.pred_boxes = Boxes(found_boxes[region, category if boxes.shape[1] > 4 else torch.zeros_like(category)])
    result.scores = chosen
    result.pred_classes = category
    return [result], [region]


def hold(self: Boxes, tensor: Tensor) -> None:
    """Store boxes as float32 without checking their shape. This function replaces ``Boxes.__init__``."""
    self.tensor = tensor.to(torch.float32)


def clip(self: Boxes, box_size) -> None:
    """Clip boxes to an image of ``box_size`` (height, width). This function replaces ``Boxes.clip``.

    Unlike ``Boxes.clip``, it does not check for NaN.
    """
    height, width = box_size
    x0, y0, x1, y1 = self.tensor.unbind(dim=1)
    x0, x1 = (x.clamp(min=0).clamp(max=width) for x in (x0, x1))
    y0, y1 = (y.clamp(min=0).clamp(max=height) for y in (y0, y1))
    self.tensor = torch.stack([x0, y0, x1, y1], dim=1)


def pool(self: ROIPooler, x: list[Tensor], box_lists: list[Boxes]) -> Tensor:
    """Pool the features of all boxes of a single image. This function replaces ``ROIPooler.forward``.

    Args:
        x: feature maps of all pyramid levels, (1, channels, height, width) each.
        box_lists: list of one ``Boxes`` object.

    Returns:
        features, (number of boxes, channels, output height, output width).
    """
    boxes = box_lists[0].tensor
    regions = F.pad(boxes, (1, 0))  # ROIAlign expects the index of the image, here 0, before each box
    if len(self.level_poolers) == 1:
        return self.level_poolers[0](x[0], regions)
    limits = (self.min_level, self.max_level, self.canonical_box_size, self.canonical_level)
    levels = assign_boxes_to_levels(box_lists, *limits)
    pooled = x[0].new_zeros((boxes.shape[0], x[0].shape[1], *self.output_size))
    for level, pooler in enumerate(self.level_poolers):
        index = (levels == level).nonzero()[:, 0]
        pooled = pooled.index_put((index,), pooler(x[level], regions[index]).to(pooled.dtype))
    return pooled


def convolve(self: Conv2d, x: Tensor) -> Tensor:
    """Apply convolution, norm and activation. This function replaces ``Conv2d.forward`` of Detectron2.

    Unlike ``Conv2d.forward``, it does not check for empty inputs.
    """
    x = self._conv_forward(x, self.weight, self.bias)
    x = x if self.norm is None else self.norm(x)
    return x if self.activation is None else self.activation(x)


def _any_length(_) -> int:
    return 1


def _smaller(size, limit: int):
    """Return min(size, limit). ``size`` is a tensor in tracing, and a symbolic integer in torch.export."""
    return size.clamp(max=limit) if isinstance(size, Tensor) else torch.sym_min(size, limit)
