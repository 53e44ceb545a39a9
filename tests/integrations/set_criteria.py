"""Implement the classification parts of set criteria, with the arguments and names of the original repositories."""

import torch
from torch import nn
from torch.nn import functional as F


class SetCriterion(nn.Module):
    """Implement the common part. ``matcher(outputs, targets)`` returns pairs of queries and objects."""

    def __init__(self, num_classes, matcher, losses=("labels",)):
        super().__init__()
        self.num_classes, self.matcher, self.losses = num_classes, matcher, list(losses)

    def target_classes(self, outputs, targets, indices):
        found = torch.full(outputs["pred_logits"].shape[:2], self.num_classes)
        for image, (queries, objects) in enumerate(indices):
            found[image, queries] = targets[image]["labels"][objects]
        return found

    def get_loss(self, name, outputs, targets, indices, num, **kwargs):
        return {"labels": self.loss_labels}[name](outputs, targets, indices, num, **kwargs)

    def forward(self, outputs, targets):
        num = float(max(sum(len(each["labels"]) for each in targets), 1))
        found = {}
        for index, layer in enumerate([outputs, *outputs.get("aux_outputs", [])]):
            losses = self.get_loss("labels", layer, targets, self.matcher(layer, targets), num)
            found.update({f"{name}_{index}" if index else name: value for name, value in losses.items()})
        return found


class Mask2FormerCriterion(SetCriterion):
    """Implement the criterion of Mask2Former (mask2former/modeling/criterion.py) and MaskFormer."""

    def __init__(self, num_classes, matcher, eos_coef=0.1, **kwargs):
        super().__init__(num_classes, matcher, **kwargs)
        weights = torch.ones(num_classes + 1)
        weights[-1] = eos_coef
        self.register_buffer("empty_weight", weights)

    def loss_labels(self, outputs, targets, indices, num_masks):
        classes = self.target_classes(outputs, targets, indices)
        logits = outputs["pred_logits"].float().transpose(1, 2)
        return {"loss_ce": F.cross_entropy(logits, classes, self.empty_weight)}


class DetrCriterion(Mask2FormerCriterion):
    """Implement the criterion of DETR (models/detr.py), whose training loop prints class_error."""

    def loss_labels(self, outputs, targets, indices, num_boxes, log=True):
        losses = super().loss_labels(outputs, targets, indices, num_boxes)
        return {**losses, "class_error": torch.tensor(37.5)} if log else losses


class DeformableDetrCriterion(SetCriterion):
    """Implement the criterion of Deformable DETR, DINO (models/dino/dino.py), and RF-DETR without IoU targets."""

    focal_alpha = 0.25

    def loss_labels(self, outputs, targets, indices, num_boxes, log=True):
        logits = outputs["pred_logits"]
        one_hot = F.one_hot(self.target_classes(outputs, targets, indices), self.num_classes + 1)[..., :-1].to(logits)
        right = torch.where(one_hot > 0, logits.sigmoid(), 1 - logits.sigmoid())
        alpha = torch.where(one_hot > 0, self.focal_alpha, 1 - self.focal_alpha)
        losses = {"loss_ce": -(alpha * (1 - right) ** 2 * right.log()).sum() / num_boxes}
        return {**losses, "class_error": torch.tensor(37.5)} if log else losses


class RfDetrCriterion(DeformableDetrCriterion):
    """Implement the criterion of RF-DETR (rfdetr/models/lwdetr.py) with ia_bce_loss. The IoU in the target is 0.7."""

    def loss_labels(self, outputs, targets, indices, num_boxes, log=True):
        logits = outputs["pred_logits"]
        one_hot = F.one_hot(self.target_classes(outputs, targets, indices), self.num_classes + 1)[..., :-1].to(logits)
        quality = logits.sigmoid().detach() ** self.focal_alpha * 0.7 ** (1 - self.focal_alpha)
        positive = quality.clamp(min=0.01) * one_hot
        negative = torch.where(one_hot > 0, 1 - positive, logits.sigmoid() ** 2)
        losses = -positive * F.logsigmoid(logits) - negative * F.logsigmoid(-logits)
        return {"loss_ce": losses.sum() / num_boxes}
