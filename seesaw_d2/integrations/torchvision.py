"""Use the losses of this package in torchvision's R-CNNs, RetinaNet and FCOS, without Detectron2.

Shapes: N proposals, C foreground categories. In torchvision, label 0 is background, and labels 1 to C are categories.
In a ``ClassificationLoss``, labels 0 to C - 1 are categories, and label C is background.
"""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from seesaw_d2.integrations.torchvision_one_stage import ONE_STAGE, use_one_stage_loss
from seesaw_d2.losses.argument_checks import object_labels
from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument

Model = TypeVar("Model", bound=nn.Module)


class LossPredictor(nn.Module):
    """Box predictor like torchvision's ``FastRCNNPredictor``, for any ``ClassificationLoss`` with C categories.

    For N proposals, ``forward`` returns a tensor (N, C + 1) for background and the C categories, and the box deltas. In
    evaluation, the tensor contains the logarithms of the scores. In training, the tensor is 0, and the module stores
    the logits, from which ``losses`` computes the loss.

    Args:
        in_features: number of input features of the layer that predicts the logits.
        loss: a loss with background, which means that ``loss.background`` is not "none".
        bbox_pred: torchvision's layer that predicts box deltas.
    """

    def __init__(self, in_features: int, loss: ClassificationLoss, bbox_pred: nn.Module):
        super().__init__()
        self.cls_loss, self.bbox_pred = loss, bbox_pred
        self.cls_score = nn.Linear(in_features, loss.num_logits)
        bias = loss.initial_bias()
        if bias is not None:
            nn.init.normal_(self.cls_score.weight, std=0.01)
            self.cls_score.bias.data.copy_(bias)
        self._logits: Tensor | None = None

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = features.flatten(start_dim=1)
        logits = self.cls_score(features)
        if self.training:
            self._logits = logits
            scores = logits.new_zeros(len(logits), self.cls_loss.num_classes + 1)
        else:
            scores = self.cls_loss.probabilities(logits).roll(1, dims=1)
            scores = scores.clamp(min=torch.finfo(scores.dtype).tiny).log()
        return scores, self.bbox_pred(features)

    def losses(self, labels: Tensor) -> dict[str, Tensor]:
        """Return the classification losses of the N proposals in the last forward pass.

        Args:
            labels: (N,) int64. As in torchvision, 0 is background, and 1 to C are the categories.

        Returns:
            a dict of scalars, such as "loss_cls".

        Raises:
            ValueError: a label is not in [0, C].
        """
        logits, self._logits = self._logits, None
        background = labels == 0
        labels = object_labels(labels.where(~background, labels.new_ones(())), self.cls_loss.num_classes, first=1)
        labels = labels.masked_fill(background, self.cls_loss.num_classes)
        return self.cls_loss(logits, labels)


class LossRoIHeads(RoIHeads):
    """torchvision's ``RoIHeads`` with the classification loss and the scores of a ``ClassificationLoss``.

    The box predictor must be a ``LossPredictor``, which contains the loss.
    """

    def select_training_samples(self, proposals, targets):
        samples = super().select_training_samples(proposals, targets)
        self._sampled_labels = torch.cat(samples[2])
        return samples

    def forward(self, features, proposals, image_shapes, targets=None):
        result, losses = super().forward(features, proposals, image_shapes, targets)
        if self.training:
            del losses["loss_classifier"]
            losses.update(self.box_predictor.losses(self._sampled_labels))
            del self._sampled_labels
        return result, losses

    def postprocess_detections(self, class_logits, box_regression, proposals, image_shapes):
        """Return lists with the boxes, scores and labels of the detections in each image, as torchvision does.

        Unlike torchvision, this method does not apply a softmax to ``class_logits``, which are already the logarithms
        of the scores. A softmax would change scores that do not sum to 1, such as those of BAGS and of sigmoid losses.
        """
        counts = [len(each) for each in proposals]
        boxes = self.box_coder.decode(box_regression, proposals).split(counts)
        images = zip(boxes, class_logits.exp().split(counts), image_shapes, strict=True)
        return tuple(map(list, zip(*(self._detections(*image) for image in images), strict=True)))

    def _detections(self, boxes: Tensor, scores: Tensor, image_shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Select the detections in an image: remove low scores, small boxes and duplicates (NMS).

        Args:
            boxes: (N, C + 1, 4), box of each of N proposals for background and each of C categories.
            scores: (N, C + 1), score of each box. The first column is background.
            image_shape: height and width of the image in pixels.

        Returns:
            the boxes (K, 4), scores (K,) and labels (K,) in [1, C] of the K detections, by descending score.
        """
        boxes = clip_boxes_to_image(boxes, image_shape)[:, 1:].flatten(0, 1)
        labels = torch.arange(1, scores.shape[1], device=scores.device).repeat(len(scores))
        scores = scores[:, 1:].flatten()
        kept = (scores > self.score_thresh).nonzero().squeeze(1)
        kept = kept[remove_small_boxes(boxes[kept], min_size=1e-2)]
        kept = kept[batched_nms(boxes[kept], scores[kept], labels[kept], self.nms_thresh)]
        kept = kept[: self.detections_per_img]
        return boxes[kept], scores[kept], labels[kept]


def use_loss(model: Model, loss: ClassificationLoss) -> Model:
    """Replace the classification loss of a torchvision detector by a loss of this package.

    The model is changed in place and returned.

    - An R-CNN gets a new classifier with random weights, with the device, the dtype and the mode (training or
      evaluation) of the previous one. Therefore, call this function before you create the optimizer.
      The R-CNN then returns losses with the names of ``loss``, such as "loss_cls_classes" and "loss_cls_objectness",
      instead of "loss_classifier".
    - RetinaNet and FCOS keep the classifier and the name "classification" of the loss. With ``FocalLoss``, they return
      the same losses as in torchvision.

    Args:
        model: a detector of ``torchvision.models.detection``: a RetinaNet, an FCOS, or an R-CNN whose
            ``roi_heads.box_predictor`` is a ``FastRCNNPredictor`` of C + 1 classes.
        loss: for an R-CNN, a loss with ``num_classes=C`` and another ``background`` than "none". For RetinaNet and
            FCOS, a loss with ``background="implicit"`` and the number of classes of the model, which includes the
            unused label 0.

    Raises:
        ValueError: the model has other heads, or the loss does not fit the model.
    """
    if isinstance(model, ONE_STAGE):
        use_one_stage_loss(model, loss)
        return model
    heads: Any = getattr(model, "roi_heads", None)
    predictor: Any = getattr(heads, "box_predictor", None)
    if type(heads) is not RoIHeads or not hasattr(predictor, "cls_score") or not hasattr(predictor, "bbox_pred"):
        expected = "torchvision's RetinaNet, FCOS or R-CNN with a FastRCNNPredictor"
        raise InvalidArgument("model", expected, type(heads if heads is not None else model).__name__)
    if loss.background == "none":
        raise InvalidArgument("loss.background", "'objectness', 'class' or 'implicit'", loss.background)
    classes = predictor.cls_score.out_features - 1
    if loss.num_classes != classes:
        advice = "predictor.cls_score has one output for each class and one for background."
        raise InvalidArgument("loss.num_classes", str(classes), loss.num_classes, advice)
    new = LossPredictor(predictor.cls_score.in_features, loss, predictor.bbox_pred)
    new.cls_score.to(predictor.cls_score.weight)
    # Only move the loss. Losses have statistics in float64, which would lose precision in the dtype of the model.
    heads.box_predictor = new.to(predictor.cls_score.weight.device).train(predictor.training)
    heads.__class__ = LossRoIHeads
    return model
