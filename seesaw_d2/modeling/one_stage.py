"""Define the one-stage detectors RetinaNet and FCOS with any sigmoid loss of this package."""

from typing import Any, ClassVar

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, RetinaNet, build_backbone
from detectron2.modeling.meta_arch.dense_detector import DenseDetector
from detectron2.modeling.meta_arch.fcos import FCOS, FCOSHead
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from seesaw_d2.losses.base import ClassificationLoss, InvalidArgument
from seesaw_d2.losses.sigmoid import SigmoidLoss
from seesaw_d2.modeling.fewer_gpu_syncs.indices import read
from seesaw_d2.modeling.object_classes import check_highest_classes, highest_classes
from seesaw_d2.modeling.one_stage_loss import sigmoid_loss
from seesaw_d2.modeling.parameter_types import check_parameter_type
from seesaw_d2.utils.distributed import all_reduce_sum, world_size


class SigmoidDetector(DenseDetector):
    """Mixin that replaces the focal loss of Detectron2's one-stage detectors by ``cls_loss``.

    The mixin must be the first base class.

    With ``FocalLoss``, the loss is the same as in Detectron2. As in Detectron2, the loss is divided by a moving average
    of the number of foreground anchors. Unlike in Detectron2, this number is averaged over all processes, and
    checkpoints contain the moving average. ``cls_loss.probabilities`` computes the scores, also for losses with another
    activation (GOL). With background "class" (EQL v2), the head has an additional logit for each anchor.

    Buffers:
        loss_normalizer: float64 scalar, the moving average of the number of foreground anchors, or 0 before the first
            step.
    """

    task: ClassVar[str] = "one-stage detection"  # the trainer uses this name to select its checks
    config_keys: ClassVar[tuple[str, ...]] = ("MODEL.ROI_BOX_HEAD.CLS_LOSS.*",)
    loss_normalizer: Tensor

    @configurable
    def __init__(self, *, cls_loss: ClassificationLoss, **kwargs):
        """Replace the last classification layer of the detector by a layer with the logits that ``cls_loss`` needs.

        Args:
            cls_loss: sigmoid loss with background "implicit" (one logit per category for each anchor) or "class" (one
                more logit for each anchor).
            kwargs: arguments of the detector.

        Raises:
            InvalidArgument: the loss does not use sigmoids, does not model background or has a different number of
                classes.
        """
        super().__init__(**kwargs)
        if not isinstance(cls_loss, SigmoidLoss) or cls_loss.background == "none":
            expected = 'a sigmoid loss with background "implicit" or "class"'
            raise InvalidArgument("cls_loss", expected, cls_loss)
        if cls_loss.num_classes != self.num_classes:
            raise InvalidArgument("cls_loss", f"a loss with num_classes={self.num_classes}, as in the model", cls_loss)
        self.cls_loss = cls_loss
        example = torch.linspace(-4, 4, 9, device="cpu")
        has_sigmoids = torch.equal(cls_loss.activation(example), example.sigmoid())  # False for Gumbel activations
        plain = type(cls_loss).probabilities.__module__.startswith("seesaw_d2.")  # False for a loss with its own scores
        self._scores_are_sigmoids = plain and has_sigmoids and cls_loss.background == "implicit"
        old = self.head.cls_score
        anchors = old.out_channels // self.num_classes
        layer = nn.Conv2d(old.in_channels, anchors * cls_loss.num_logits, old.kernel_size, padding=old.padding)
        nn.init.normal_(layer.weight, std=0.01)
        bias = cls_loss.initial_bias()
        bias = torch.zeros(cls_loss.num_logits) if bias is None else bias
        layer.bias = nn.Parameter(bias.repeat(anchors))
        self.head.cls_score = layer
        self.register_buffer("loss_normalizer", torch.zeros((), dtype=torch.float64))

    def label_anchors(self, anchors, gt_instances):
        # Detectron2's method synchronizes host and device for each image. Reading the classes synchronizes once more.
        check_highest_classes(read(highest_classes(gt_instances)), self.num_classes)
        return super().label_anchors(anchors, gt_instances)

    def losses(self, anchors, pred_logits, gt_labels, *others):
        """Return the losses of Detectron2's detector, with ``cls_loss`` instead of the focal loss.

        Args:
            anchors: anchors of each feature level.
            pred_logits: for each feature level, logits (images, anchors, ``cls_loss.num_logits``).
            gt_labels: for each image, the labels of all anchors. Anchors with negative labels are ignored.
            others: further arguments of Detectron2's ``losses``, which do not affect the classification loss.
        """
        # super().losses computes the box loss, but also the focal loss, which is not used. With a single class, the
        # focal loss takes less time.
        one_class = [torch.where(each < 0, each, (each == self.num_classes).long()) for each in gt_labels]
        num_classes, self.num_classes = self.num_classes, 1
        try:
            ignored = [each.detach()[..., :1] for each in pred_logits]
            found = super().losses(anchors, ignored, one_class, *others)
        finally:
            self.num_classes = num_classes
        labels = torch.cat(list(gt_labels))
        logits = torch.cat(pred_logits, dim=1).flatten(0, 1)
        valid = labels >= 0
        losses = self.cls_loss(logits[valid], labels[valid], avg_factor=self.loss_normalizer)
        return {**losses, **{name: value for name, value in found.items() if not name.endswith("cls")}}

    def _ema_update(self, name: str, value: float, initial_value: float, momentum: float = 0.9) -> float:
        total = all_reduce_sum(self.loss_normalizer.new_tensor(value))
        old, value = torch.stack([self.loss_normalizer, total]).tolist()  # reads both with one synchronization
        updated = (old or initial_value) * momentum + value / world_size() * (1 - momentum)
        self.loss_normalizer.fill_(updated)
        return updated

    def _transpose_dense_predictions(self, predictions, dims_per_anchor):
        if not self.training:
            check_parameter_type(self)
        logits, *others = super()._transpose_dense_predictions(
            predictions, [self.cls_loss.num_logits, *dims_per_anchor[1:]]
        )
        if not self.training and not self._scores_are_sigmoids:
            logits = [self._foreground(each) for each in logits]
        return [logits, *others]

    def _foreground(self, logits: Tensor) -> Tensor:
        """Convert the logits of the loss to one logit per category, whose sigmoid is the score of the category.

        Detectron2 computes scores as sigmoids, but some losses define other scores. The shape changes from (images,
        anchors, logits) to (images, anchors, categories).
        """
        scores = self.cls_loss.probabilities(logits.flatten(0, 1))[:, : self.num_classes]
        return torch.logit(scores).view(*logits.shape[:2], self.num_classes)


@META_ARCH_REGISTRY.register()
class LongTailRetinaNet(SigmoidDetector, RetinaNet):
    """Detectron2's ``RetinaNet`` with the sigmoid loss that MODEL.ROI_BOX_HEAD.CLS_LOSS selects.

    ``SigmoidDetector`` describes the differences from Detectron2.

    Args:
        cls_loss: a ``SigmoidLoss`` with background "implicit" or "class".
        kwargs: as in ``RetinaNet``. ``focal_loss_alpha`` and ``focal_loss_gamma`` have no effect.
    """

    @classmethod
    def from_config(cls, cfg) -> dict[str, Any]:
        cls_loss = sigmoid_loss(cfg)
        if cfg.MODEL.RETINANET.NORM != "GN":
            return {**super().from_config(cfg), "cls_loss": cls_loss}
        plain = cfg.clone()
        plain.defrost()
        plain.MODEL.RETINANET.NORM = ""
        ret = super().from_config(plain)
        shapes = [ret["backbone"].output_shape()[name] for name in ret["head_in_features"]]
        head = RetinaNetHead(**RetinaNetHead.from_config(plain, shapes) | {"norm": _group_norm})
        return {**ret, "cls_loss": cls_loss, "head": head}


@META_ARCH_REGISTRY.register()
class LongTailFCOS(SigmoidDetector, FCOS):
    """Detectron2's ``FCOS`` with the sigmoid loss that MODEL.ROI_BOX_HEAD.CLS_LOSS selects.

    ``SigmoidDetector`` describes the differences from Detectron2. Detectron2 has no config keys for FCOS, so this class
    reads NUM_CLASSES, IN_FEATURES, NUM_CONVS, NORM, SCORE_THRESH_TEST, TOPK_CANDIDATES_TEST and NMS_THRESH_TEST below
    MODEL.RETINANET.

    Args:
        cls_loss: a ``SigmoidLoss`` with background "implicit" or "class".
        kwargs: as in ``FCOS``. ``focal_loss_alpha`` and ``focal_loss_gamma`` have no effect.
    """

    @classmethod
    def from_config(cls, cfg) -> dict[str, Any]:
        cls_loss, node, backbone = sigmoid_loss(cfg), cfg.MODEL.RETINANET, build_backbone(cfg)
        shapes = [backbone.output_shape()[name] for name in node.IN_FEATURES]
        head = FCOSHead(
            input_shape=shapes,
            conv_dims=[shapes[0].channels] * node.NUM_CONVS,
            num_classes=node.NUM_CLASSES,
            norm=_group_norm if node.NORM == "GN" else node.NORM,
        )
        return {
            "cls_loss": cls_loss,
            "backbone": backbone,
            "head": head,
            "head_in_features": node.IN_FEATURES,
            "num_classes": node.NUM_CLASSES,
            "test_score_thresh": node.SCORE_THRESH_TEST,
            "test_topk_candidates": node.TOPK_CANDIDATES_TEST,
            "test_nms_thresh": node.NMS_THRESH_TEST,
            "max_detections_per_image": cfg.TEST.DETECTIONS_PER_IMAGE,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def label_anchors(self, anchors, gt_instances):
        """Label anchors as ``FCOS.label_anchors`` does, also in images without objects.

        For images without objects, ``FCOS.label_anchors`` of Detectron2 v0.6 raises an error.
        """
        return super().label_anchors(anchors, [each if len(each) else _outside(each) for each in gt_instances])


def _outside(empty: Instances) -> Instances:
    """Return the instances of an image without objects, plus one box outside the image, which no anchor matches."""
    found = Instances(empty.image_size)
    found.gt_boxes = Boxes(empty.gt_boxes.tensor.new_tensor([[-2.0, -2.0, -1.0, -1.0]]))
    found.gt_classes = empty.gt_classes.new_zeros(1)
    return found


def _group_norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm with 32 groups, as Detectron2's "GN" has, but at most one group per channel."""
    return nn.GroupNorm(min(32, channels), channels)
