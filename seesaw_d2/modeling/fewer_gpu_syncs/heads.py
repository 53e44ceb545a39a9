"""Define mixins and a pooler that reduce the host-device synchronizations of ROI heads to about one per batch."""

import torch
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.modeling.roi_heads import CascadeROIHeads, ROIHeads, StandardROIHeads
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead
from detectron2.structures import Boxes, Instances, pairwise_iou
from torch import Tensor

from seesaw_d2.modeling.fewer_gpu_syncs.foreground import classes_of, foreground, label_and_sample
from seesaw_d2.modeling.fewer_gpu_syncs.indices import clip_boxes, read, true_indices
from seesaw_d2.modeling.fewer_gpu_syncs.mask_loss import BatchedMaskHead
from seesaw_d2.modeling.fewer_gpu_syncs.matching import match
from seesaw_d2.modeling.object_classes import check_object_classes
from seesaw_d2.utils.deferred_scalars import put_scalars


class BatchedROIPooler(ROIPooler):
    """``ROIPooler`` with the same results, but only one host-device synchronization in training.

    This synchronization reads the numbers of boxes in all feature levels. Detectron2's ``ROIPooler`` synchronizes once
    per level.
    """

    def forward(self, x: list[Tensor], box_lists: list[Boxes]) -> Tensor:
        plain = bool(box_lists) and all(type(each) is Boxes for each in box_lists)
        if not (self.training and plain):
            return super().forward(x, box_lists)
        boxes = torch.cat(
            [torch.nn.functional.pad(each.tensor, (1, 0), value=image) for image, each in enumerate(box_lists)]
        )
        if len(self.level_poolers) == 1:
            return self.level_poolers[0](x[0], boxes)
        sizes = (self.min_level, self.max_level, self.canonical_box_size, self.canonical_level)
        levels = assign_boxes_to_levels(box_lists, *sizes)
        counts = read([(levels == level).sum() for level in range(len(self.level_poolers))])
        indices = levels.argsort(stable=True).split(counts)
        output = x[0].new_zeros(len(boxes), x[0].shape[1], *self.output_size)
        for index, pooler, features in zip(indices, self.level_poolers, x, strict=True):
            output.index_put_((index,), pooler(features, boxes[index]))
        return output


_FASTER = {ROIPooler: BatchedROIPooler, MaskRCNNConvUpsampleHead: BatchedMaskHead}


class FewerWaits:
    """Mixin for Detectron2's ROI heads with fewer host-device synchronizations in training, but the same results.

    With this mixin, sampling, pooling and mask losses synchronize about once each per batch. The mixin replaces only
    methods, poolers and mask heads of Detectron2. Methods that another project overrides do not change.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for module in self.modules():
            module.__class__ = _FASTER.get(type(module), type(module))

    def label_and_sample_proposals(self, proposals, targets):
        original = super().label_and_sample_proposals
        own = type(self)._sample_proposals is ROIHeads._sample_proposals
        if own and original.__func__ is ROIHeads.label_and_sample_proposals:
            return label_and_sample(self, proposals, targets)
        check_object_classes(targets, self.num_classes, on_gpu=True)  # label_and_sample would check the classes, too
        return original(proposals, targets)

    def _forward_mask(self, features, instances):
        original = super()._forward_mask
        own = original.__func__ is StandardROIHeads._forward_mask and self.mask_on
        if not (self.training and own and self.mask_pooler is not None):
            return original(features, instances)
        instances = foreground(instances, self.num_classes)
        features = [features[name] for name in self.mask_in_features]
        return self.mask_head(self.mask_pooler(features, [each.proposal_boxes for each in instances]), instances)


class FewerCascadeWaits(FewerWaits):
    """Mixin for Detectron2's ``CascadeROIHeads`` with fewer host-device synchronizations in training.

    In each stage, creating proposals and matching them with the ground truth synchronize at most once each.
    """

    def _create_proposals_from_boxes(self, boxes, image_sizes):
        original = super()._create_proposals_from_boxes
        if not self.training or original.__func__ is not CascadeROIHeads._create_proposals_from_boxes:
            return original(boxes, image_sizes)
        finite = [each.isfinite().all() for each in boxes]
        boxes = [Boxes(clip_boxes(each.detach(), size)) for each, size in zip(boxes, image_sizes, strict=True)]
        large = [each.nonempty() for each in boxes]
        counts = read([*finite, *(each.sum() for each in large)])
        assert all(counts[: len(boxes)]), "Box tensor contains infinite or NaN!"  # the error of Boxes.clip
        sizes = zip(boxes, large, counts[len(boxes) :], image_sizes, strict=True)
        return [Instances(size, proposal_boxes=each[true_indices(kept, count)]) for each, kept, count, size in sizes]

    @torch.no_grad()
    def _match_and_label_boxes(self, proposals, stage, targets):
        original = super()._match_and_label_boxes
        if original.__func__ is not CascadeROIHeads._match_and_label_boxes:
            return original(proposals, stage, targets)
        pairs = list(zip(proposals, targets, strict=True))
        matches = [match(self.proposal_matchers[stage], pairwise_iou(t.gt_boxes, p.proposal_boxes)) for p, t in pairs]
        foreground_counts = [(labels == 1).sum() for _, labels, _ in matches]
        for (each, target), (index, labels, _) in zip(pairs, matches, strict=True):
            each.gt_classes = classes_of(target.gt_classes, index, labels, self.num_classes)
            empty = target.gt_boxes.tensor.new_zeros(len(each), 4)
            each.gt_boxes = target.gt_boxes[index] if len(target) else Boxes(empty)
        found = torch.stack(foreground_counts).double()
        total = sum(len(each) for each in proposals)
        counts = torch.stack([found.sum(), total - found.sum()]) / len(proposals)
        put_scalars([f"stage{stage}/roi_head/num_{kind}_samples" for kind in ("fg", "bg")], counts)
        return proposals
