"""Compute the loss of a mask head without host-device synchronization, or with one per batch for polygon masks.

Shapes: R regions of a batch, C categories, M x M mask pixels.
"""

import torch
from detectron2.layers import cat
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead, mask_rcnn_loss
from detectron2.structures import Instances, PolygonMasks
from detectron2.utils.events import get_event_storage
from torch import Tensor
from torch.nn import functional as F

from seesaw_d2.utils.deferred_scalars import put_scalars


class BatchedMaskHead(MaskRCNNConvUpsampleHead):
    """``MaskRCNNConvUpsampleHead`` with the same loss, but fewer host-device synchronizations (see ``mask_loss``)."""

    def forward(self, x, instances):
        if not self.training:
            return super().forward(x, instances)
        return {"loss_mask": mask_loss(self.layers(x), instances, self.vis_period) * self.loss_weight}


def mask_loss(logits: Tensor, instances: list[Instances], vis_period: int) -> Tensor:
    """Return the loss of Detectron2's ``mask_rcnn_loss``, and log the same scalars, with fewer synchronizations.

    Args:
        logits: mask logits of R regions for C categories, (R, C, M, M), or (R, 1, M, M) for class-agnostic masks and
            for masks of the ground-truth categories.
        instances: one ``Instances`` for each image, with R regions in total.
        vis_period: number of iterations from one visualization to the next, or 0 for none.
    """
    instances = [each for each in instances if len(each)]
    visualizes = vis_period > 0 and get_event_storage().iter % vis_period == 0
    if visualizes or not instances:
        return mask_rcnn_loss(logits, instances, vis_period)
    truth = mask_targets(instances, logits)
    if logits.size(1) == 1:
        logits = logits[:, 0]
    else:
        classes = cat([each.gt_classes for each in instances], dim=0)
        logits = logits[torch.arange(len(logits), device=logits.device), classes]
    _log(logits.detach(), truth if truth.dtype == torch.bool else truth > 0.5)
    return F.binary_cross_entropy_with_logits(logits, truth.to(torch.float32), reduction="mean")


def mask_targets(instances: list[Instances], logits: Tensor) -> Tensor:
    """Return the ground-truth masks of R regions, (R, M, M), cropped to the regions.

    ``logits``, the predicted masks, define the size M x M and the device.
    """
    boxes = [each.proposal_boxes.tensor for each in instances]
    if any(isinstance(each.gt_masks, PolygonMasks) for each in instances):  # polygons are rasterized on the CPU
        boxes = list(torch.cat(boxes).cpu().split([len(each) for each in boxes]))
    pairs = zip(instances, boxes, strict=True)
    masks = [each.gt_masks.crop_and_resize(own, logits.size(2)) for each, own in pairs]
    return cat(masks, dim=0).to(logits.device)


def _log(logits: Tensor, truth: Tensor) -> None:
    wrong = (logits > 0.0) != truth
    total, positive = wrong.numel(), truth.sum().double()
    values = [
        1 - wrong.sum().double() / max(total, 1),
        (wrong & ~truth).sum() / (total - positive).clamp(min=1),
        (wrong & truth).sum() / positive.clamp(min=1),
    ]
    names = ("accuracy", "false_positive", "false_negative")
    put_scalars([f"mask_rcnn/{name}" for name in names], torch.stack(values))
