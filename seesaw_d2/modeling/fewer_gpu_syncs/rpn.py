"""Define a region proposal network (RPN) with fewer host-device synchronizations.

Shapes: B images, R anchors of an image, K candidate boxes of an image before non-maximum suppression (NMS).
"""

import torch
from detectron2.layers import batched_nms, cat
from detectron2.modeling import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.box_regression import _dense_box_regression_loss
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.memory import retry_if_cuda_oom
from torch.nn import functional as F

from seesaw_d2.compat import best_scores
from seesaw_d2.modeling.fewer_gpu_syncs.indices import clip_boxes, read, true_indices
from seesaw_d2.modeling.fewer_gpu_syncs.matching import match, sample
from seesaw_d2.modeling.parameter_types import check_parameter_type
from seesaw_d2.utils.deferred_scalars import put_scalars


@PROPOSAL_GENERATOR_REGISTRY.register()
class BatchedRPN(RPN):
    """Detectron2's ``RPN`` with fewer host-device synchronizations in training.

    Parameters, results and errors are the same as in Detectron2. Each batch needs three synchronizations: for sampling,
    for the losses and for the check of the proposals. Non-maximum suppression (NMS) needs one more per image.
    Detectron2's RPN needs about ten synchronizations per image.

    Raises:
        ValueError: ``forward`` is called, and the parameters are not float32.
    """

    def forward(self, images, features, gt_instances=None):
        check_parameter_type(self)
        return super().forward(images, features, gt_instances)

    @torch.no_grad()
    def label_and_sample_anchors(self, anchors, gt_instances):
        anchors = Boxes.cat(anchors)
        labels, valid, boxes = [], [], []
        for each in gt_instances:
            overlaps = retry_if_cuda_oom(pairwise_iou)(each.gt_boxes, anchors)
            index, label, is_valid = retry_if_cuda_oom(match)(self.anchor_matcher, overlaps)
            label = label.to(anchors.device)  # retry_if_cuda_oom may have computed the labels on the CPU
            if self.anchor_boundary_thresh >= 0:
                label[~anchors.inside_box(each.image_size, self.anchor_boundary_thresh)] = -1
            labels.append(label)
            valid.append(is_valid.to(anchors.device))
            boxes.append(each.gt_boxes[index].tensor if len(each) else torch.zeros_like(anchors.tensor))
        samples = sample(labels, valid, self.batch_size_per_image, self.positive_fraction, 0)
        for label, (positive, negative) in zip(labels, samples, strict=True):
            label.fill_(-1).scatter_(0, positive, 1).scatter_(0, negative, 0)
        return labels, boxes

    def losses(self, anchors, pred_objectness_logits, gt_labels, pred_anchor_deltas, gt_boxes):
        labels = torch.stack(gt_labels).flatten()  # labels of all anchors in all images, in one dimension
        images = len(gt_labels)
        counts = torch.stack([(labels == 1).sum(), (labels == 0).sum()]).double() / images
        put_scalars(["rpn/num_pos_anchors", "rpn/num_neg_anchors"], counts)
        sampled = (labels >= 0).nonzero().squeeze(1)
        targets = labels[sampled]
        positive = sampled[targets == 1]
        all_anchors = Boxes.cat(anchors)
        # Detectron2 selects the positive anchors with a boolean mask, which synchronizes host and device. Instead, pass
        # the positive anchors of all images as the anchors of a single image. The argument 0 selects this image.
        localization = _dense_box_regression_loss(
            [all_anchors[positive % len(all_anchors)]],
            self.box2box_transform,
            [cat(pred_anchor_deltas, dim=1).flatten(0, 1)[positive][None]],
            [torch.cat(gt_boxes)[positive]],
            0,
            box_reg_loss_type=self.box_reg_loss_type,
            smooth_l1_beta=self.smooth_l1_beta,
        )
        objectness = F.binary_cross_entropy_with_logits(
            cat(pred_objectness_logits, dim=1).flatten()[sampled], targets.to(torch.float32), reduction="sum"
        )
        total = self.batch_size_per_image * images
        losses = {"loss_rpn_cls": objectness / total, "loss_rpn_loc": localization / total}
        return {name: value * self.loss_weight.get(name, 1.0) for name, value in losses.items()}

    def predict_proposals(self, anchors, pred_objectness_logits, pred_anchor_deltas, image_sizes):
        if not self.training:
            return super().predict_proposals(anchors, pred_objectness_logits, pred_anchor_deltas, image_sizes)
        with torch.no_grad():
            decoded = self._decode_proposals(anchors, pred_anchor_deltas)
            boxes, scores, levels = _candidates(decoded, pred_objectness_logits, self.pre_nms_topk[True])
            finite = boxes.isfinite().all() & scores.isfinite().all()
            clipped = [clip_boxes(each, size) for each, size in zip(boxes, image_sizes, strict=True)]
            large = [Boxes(each).nonempty(threshold=self.min_box_size) for each in clipped]
            all_finite, *counts = read([finite, *(each.sum() for each in large)])
            if not all_finite:
                raise FloatingPointError("Predicted boxes or scores contain Inf/NaN. Training has diverged.")
            images = zip(clipped, scores, large, counts, image_sizes, strict=True)
            return [self._suppress(*image, levels) for image in images]

    def _suppress(self, boxes, scores, large, count: int, size, levels) -> Instances:
        """Return the proposals of an image: the large enough boxes that non-maximum suppression (NMS) keeps.

        Args:
            boxes, scores, levels: candidate boxes, their objectness logits, and their feature levels.
            large: bool (boxes,), True for boxes whose sides are longer than ``min_box_size``.
            count: number of True elements in ``large``.
            size: (height, width) of the image.
        """
        if count != len(boxes):
            index = true_indices(large, count)
            boxes, scores, levels = boxes[index], scores[index], levels[index]
        keep = batched_nms(boxes, scores, levels, self.nms_thresh)[: self.post_nms_topk[True]]
        return Instances(size, proposal_boxes=Boxes(boxes[keep]), objectness_logits=scores[keep])


def _candidates(proposals, logits, limit: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Select the boxes with the highest logits in each image and feature level. Concatenate the boxes of all levels.

    Args:
        proposals: for each feature level l, decoded boxes of R_l anchors in each of B images, (B, R_l, 4).
        logits: for each feature level l, objectness logits (B, R_l).
        limit: largest number of boxes for each image and level.

    Returns:
        tuple of the K best boxes of each image, (B, K, 4), their logits (B, K), and their levels, int64 (K,).
    """
    images = torch.arange(len(logits[0]), device=logits[0].device)[:, None]
    boxes, scores, levels = [], [], []
    for level, (each, score) in enumerate(zip(proposals, logits, strict=True)):
        best, index = best_scores(score, min(score.shape[1], limit))
        boxes.append(each[images, index])
        scores.append(best)
        levels.append(torch.full((best.shape[1],), level, dtype=torch.int64, device=best.device))
    return cat(boxes, dim=1), cat(scores, dim=1), cat(levels, dim=0)
