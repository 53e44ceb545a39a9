"""Replace the classification loss of torchvision's one-stage detectors RetinaNet and FCOS.

Shapes: B images, A anchors of an image, C classes. In these models, label 0 is an unused class. Background anchors have
label C, for which the targets of all sigmoids are 0.
"""

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection.fcos import FCOS, FCOSHead
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetClassificationHead

from seesaw_d2.integrations.set_criterion import check_fits, query_labels, query_loss
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument

ONE_STAGE = (RetinaNet, FCOS)


class RetinaNetHead(RetinaNetClassificationHead):
    """Classification head of torchvision's RetinaNet with another loss.

    As in torchvision, the loss of each image is divided by the number of foreground anchors of the image. The result is
    the mean over the images.

    Attributes:
        cls_loss: loss of this package that replaces the focal loss.
    """

    cls_loss: ClassificationLoss

    def compute_loss(self, targets, head_outputs, matched_idxs):
        labels = _anchor_labels(targets, matched_idxs, self.num_classes)
        foreground = (labels < self.num_classes).sum(dim=1, keepdim=True).clamp(min=1)
        between = torch.stack(matched_idxs) == self.BETWEEN_THRESHOLDS
        weights = (1 / foreground).expand(labels.shape).masked_fill(between, 0) / len(labels)
        logits = head_outputs["cls_logits"].flatten(0, 1)
        kept = ~between.flatten()
        losses = self.cls_loss(logits[kept], labels.flatten()[kept], weights.flatten()[kept], 1.0)
        return torch.stack(list(losses.values())).sum()


class FCOSLossHead(FCOSHead):
    """Head of torchvision's FCOS with another classification loss.

    As in torchvision, the loss is divided by the number of foreground anchors in all images.

    Attributes:
        cls_loss: loss of this package that replaces the focal loss.
    """

    cls_loss: ClassificationLoss

    def compute_loss(self, targets, head_outputs, anchors, matched_idxs):
        logits: Tensor = head_outputs["cls_logits"]
        losses = super().compute_loss(targets, {**head_outputs, "cls_logits": logits.detach()}, anchors, matched_idxs)
        labels = _anchor_labels(targets, matched_idxs, self.cls_loss.num_classes)
        foreground = (labels < self.cls_loss.num_classes).sum().clamp(min=1)
        return {**losses, "classification": query_loss(self.cls_loss, logits, labels, num_objects=foreground)}


def use_one_stage_loss(model: Any, loss: ClassificationLoss) -> None:
    """Replace the classification loss of torchvision's RetinaNet or FCOS in place.

    The loss gets the device and the mode (training or evaluation) of the model's head.

    Args:
        model: a RetinaNet or an FCOS.
        loss: a loss with ``background="implicit"`` and the number of classes of the model.

    Raises:
        ValueError: the model has a head of another type, or the loss does not fit the model.
    """
    head, changed = (model.head, FCOSLossHead)
    if isinstance(model, RetinaNet):
        head, changed = model.head.classification_head, RetinaNetHead
    if type(head) not in (changed, changed.__base__):
        raise InvalidArgument("model", f"a head of type {changed.__base__.__name__!r}", type(head).__name__)
    check_fits(loss, model.head.classification_head.num_classes, softmax=False)
    head.__class__ = changed
    head.cls_loss = loss.to(next(head.parameters()).device).train(head.training)


def _anchor_labels(targets, matched_idxs: list[Tensor], num_classes: int) -> Tensor:
    """Return the label of each anchor. Anchors without a matched object have the label C for background.

    Args:
        targets: for each of B images, a dict with the "labels" of its objects, in [0, C).
        matched_idxs: for each image, the index of the matched object of each of A anchors, or a negative number.
        num_classes: number of classes C.

    Returns:
        the labels (B, A), int64.
    """
    rows = [(matched >= 0).nonzero().squeeze(1) for matched in matched_idxs]
    matches = [(row, matched[row]) for row, matched in zip(rows, matched_idxs, strict=True)]
    return query_labels([each["labels"] for each in targets], matches, len(matched_idxs[0]), num_classes)
