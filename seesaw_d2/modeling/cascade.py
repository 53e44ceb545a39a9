"""Define the ROI heads of Cascade R-CNN. Options select training as in Detectron2 or as in the Seesaw Loss paper."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from detectron2.config import configurable
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import CascadeROIHeads
from detectron2.modeling.roi_heads.cascade_rcnn import _ScaleGradient
from detectron2.modeling.roi_heads.fast_rcnn import fast_rcnn_inference
from detectron2.structures import Instances, pairwise_iou
from detectron2.utils.events import get_event_storage
from torch import nn

from seesaw_d2.modeling.box_predictor import BOX_KEYS, SeesawBoxPredictor
from seesaw_d2.modeling.cascade_checks import check_average, check_cascade_config
from seesaw_d2.modeling.fewer_gpu_syncs.foreground import foreground, on_host, select
from seesaw_d2.modeling.fewer_gpu_syncs.heads import FewerCascadeWaits
from seesaw_d2.modeling.fewer_gpu_syncs.indices import read, true_indices
from seesaw_d2.modeling.fewer_gpu_syncs.matching import match
from seesaw_d2.modeling.heads_checks import check_heads_config
from seesaw_d2.modeling.roi_heads import GlobalMaskLosses, global_mask_losses


@ROI_HEADS_REGISTRY.register()
class SeesawCascadeROIHeads(GlobalMaskLosses, FewerCascadeWaits, CascadeROIHeads):
    """``CascadeROIHeads`` with a :class:`SeesawBoxPredictor` in every stage. Each stage has its own loss and counts.

    The default arguments give Detectron2's Cascade R-CNN. The Seesaw Loss paper uses MMDetection's Cascade R-CNN
    (mmdet 3.3.0, models/roi_heads/cascade_roi_head.py), which differs in four ways:

    - Loss weights: MMDetection multiplies the losses of the three stages by 1, 0.5 and 0.25. Detectron2 sums the losses
      and divides the gradients that flow from the heads to the features by the number of stages S.
    - Mask heads: MMDetection trains a mask head for each stage, on the foreground proposals of the stage. At test time,
      all mask heads predict masks for the final boxes, and the mask probabilities are averaged. Detectron2 trains a
      single mask head on the foreground proposals of the first stage.
    - Sampling: in MMDetection, each stage adds the ground-truth boxes to its proposals and samples from these boxes.
      Detectron2 samples only before the first stage.
    - Scores: MMDetection averages the logits over the stages. Detectron2 averages the class probabilities.

    Args:
        stage_loss_weights: one number >= 0 for each of the S stages. Default: all weights are 1.
        scale_gradients: whether to divide the gradients that flow from the heads of the stages to the features by S.
            The gradients of a single mask head are not divided.
        resample: whether each stage samples proposals, as in MMDetection. After the first stage, a stage samples from
            the boxes that the previous stage predicted, except those predicted from ground-truth boxes. If
            ``proposal_append_gt`` is True, the stage also samples from the ground-truth boxes.
        average: values to average over the stages at test time, "probabilities" or "logits".
        mask_head: a mask head, or a list of S mask heads, one for each stage.
        kwargs: further arguments of ``CascadeROIHeads``.

    Raises:
        ValueError: the number of weights or mask heads is not S, or ``average`` is unknown.
    """

    config_keys: ClassVar[tuple[str, ...]] = (
        *BOX_KEYS,
        "MODEL.ROI_BOX_CASCADE_HEAD.*",
        "MODEL.ROI_MASK_HEAD.PER_STAGE",
    )
    score_options: ClassVar[dict[str, Any]] = {"average": "probabilities"}  # see ``seesaw_d2.weights.score_settings``

    @configurable
    def __init__(
        self,
        *,
        stage_loss_weights: Sequence[float] | None = None,
        scale_gradients: bool = True,
        resample: bool = False,
        average: str = "probabilities",
        mask_head: nn.Module | Sequence[nn.Module] | None = None,
        **kwargs,
    ):
        if isinstance(mask_head, (Sequence, nn.ModuleList)):  # the ListConfig of a LazyConfig is also a Sequence
            mask_head = nn.ModuleList(mask_head)
        super().__init__(mask_head=mask_head, **kwargs)
        stages = self.num_cascade_stages
        self.stage_loss_weights = [1.0] * stages if stage_loss_weights is None else list(stage_loss_weights)
        if len(self.stage_loss_weights) != stages:
            raise ValueError(f"stage_loss_weights: expected {stages} numbers, found {self.stage_loss_weights}")
        if isinstance(mask_head, nn.ModuleList) and len(mask_head) != stages:
            raise ValueError(
                f"mask_head: expected a mask head, or a list of {stages} mask heads for {stages} stages, found a list "
                f"of {len(mask_head)}"
            )
        self.per_stage_masks = isinstance(mask_head, nn.ModuleList)
        self.scale_gradients = scale_gradients
        self.resample = resample
        check_average(average, self.box_predictor)
        self.average = average

    @classmethod
    def from_config(cls, cfg, input_shape):
        check_cascade_config(cfg)
        node = cfg.MODEL.ROI_BOX_CASCADE_HEAD
        return {
            **super().from_config(cfg, input_shape),
            "stage_loss_weights": node.STAGE_LOSS_WEIGHTS,
            "scale_gradients": node.SCALE_GRADIENTS,
            "resample": node.RESAMPLE,
            "average": node.AVERAGE,
        }

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        check_heads_config(cfg)  # check first, because the errors of super() do not name the config key
        ret = super()._init_box_head(cfg, input_shape)
        stages = len(ret["box_heads"])
        ret["box_predictors"] = [
            SeesawBoxPredictor(
                cfg, head.output_shape, box2box_transform=plain.box2box_transform, stage=stage, num_stages=stages
            )
            for stage, (head, plain) in enumerate(zip(ret["box_heads"], ret["box_predictors"], strict=True))
        ]
        return ret

    @classmethod
    def _init_mask_head(cls, cfg, input_shape):
        ret = super()._init_mask_head(cfg, input_shape)
        if ret and cfg.MODEL.ROI_MASK_HEAD.PER_STAGE:
            heads = [ret["mask_head"]]
            for _ in cfg.MODEL.ROI_BOX_CASCADE_HEAD.IOUS[1:]:
                heads.append(super()._init_mask_head(cfg, input_shape)["mask_head"])
            ret["mask_head"] = heads
        return ret

    def _forward_box(self, features, proposals, targets=None):
        """Return the losses of the box heads and mask heads of each stage in training, or detections at inference."""
        if not self.training:
            return self._detect(features, proposals)
        box_features = [features[f] for f in self.box_in_features]
        losses, boxes = {}, None
        for stage, predictor in enumerate(self.box_predictor):
            if stage > 0:
                proposals = self._next_proposals(boxes, proposals, stage, targets)
            predictions = self._run_stage(box_features, proposals, stage)
            boxes = predictor.predict_boxes(predictions, proposals)
            with get_event_storage().name_scope(f"stage{stage}"):
                stage_losses = predictor.losses(predictions, proposals)
                if self.per_stage_masks:
                    stage_losses.update(self._mask_losses(features, proposals, stage))
            weight = self.stage_loss_weights[stage]
            losses.update({f"{name}_stage{stage}": value * weight for name, value in stage_losses.items()})
        return losses

    def _detect(self, features, proposals) -> list[Instances]:
        """Return the detections of each image, with boxes of the last stage and scores averaged over the stages."""
        box_features = [features[f] for f in self.box_in_features]
        sizes = [each.image_size for each in proposals]
        predictions, boxes = [], None
        for stage, predictor in enumerate(self.box_predictor):
            if stage > 0:
                proposals = self._create_proposals_from_boxes(boxes, sizes)
            predictions.append(self._run_stage(box_features, proposals, stage))
            boxes = predictor.predict_boxes(predictions[-1], proposals)
        scores = self.average_probs(predictions, proposals)
        limits = (predictor.test_score_thresh, predictor.test_nms_thresh, predictor.test_topk_per_image)
        return fast_rcnn_inference(boxes, scores, sizes, *limits)[0]

    def average_probs(self, predictions, proposals) -> list[torch.Tensor]:
        """Return, for each image, the mean scores of its proposals over the stages, (proposals, categories + 1).

        Args:
            predictions: a tuple (logits, box deltas) of all proposals for each stage.
            proposals: one ``Instances`` for each image.
        """
        if self.average == "logits":
            mean = torch.stack([logits for logits, _ in predictions]).mean(dim=0)
            return list(self.box_predictor[-1].predict_probs((mean, predictions[-1][1]), proposals))
        stages = zip(self.box_predictor, predictions, strict=True)
        found = [predictor.predict_probs(predicted, proposals) for predictor, predicted in stages]
        return [mean_of_stages(images) for images in zip(*found, strict=True)]

    def _next_proposals(self, boxes, proposals, stage: int, targets) -> list[Instances]:
        """Return the labelled proposals of ``stage`` for each image.

        ``boxes`` are the boxes that the previous stage predicted from ``proposals``. ``targets`` is the ground truth.
        """
        if self.resample:
            kept = [~_is_ground_truth(each) for each in proposals]
            counts = read([each.sum() for each in kept])
            indices = [true_indices(mask, count) for mask, count in zip(kept, counts, strict=True)]
            boxes = [each[index] for each, index in zip(boxes, indices, strict=True)]
        refined = self._create_proposals_from_boxes(boxes, [each.image_size for each in proposals])
        if not self.resample:
            return self._match_and_label_boxes(refined, stage, targets)
        for each in refined:  # label_and_sample_proposals requires this field
            each.objectness_logits = each.proposal_boxes.tensor.new_zeros(len(each))
        first, self.proposal_matcher = self.proposal_matcher, self.proposal_matchers[stage]  # type: ignore[has-type]
        try:
            with get_event_storage().name_scope(f"stage{stage}"):
                return self.label_and_sample_proposals(refined, targets)
        finally:
            self.proposal_matcher = first

    @torch.no_grad()
    def _match_and_label_boxes(self, proposals, stage, targets):
        proposals = super()._match_and_label_boxes(proposals, stage, targets)
        if self.per_stage_masks:
            matcher, pairs = self.proposal_matchers[stage], list(zip(proposals, targets, strict=True))
            matched = [match(matcher, pairwise_iou(t.gt_boxes, p.proposal_boxes))[0] for p, t in pairs]
            for (each, truth), index, host in zip(pairs, matched, on_host(matched, targets), strict=True):
                if len(truth):
                    each.gt_masks = select(truth.gt_masks, index, host)
        return proposals

    def _run_stage(self, features, proposals, stage):
        x = self.box_pooler(features, [each.proposal_boxes for each in proposals])
        return self.box_predictor[stage](self.box_head[stage](self._scaled(x)))

    def _scaled(self, x):
        scales = self.training and self.scale_gradients
        return _ScaleGradient.apply(x, 1.0 / self.num_cascade_stages) if scales else x

    def _mask_losses(self, features, proposals, stage: int) -> dict[str, torch.Tensor]:
        regions = foreground(proposals, self.num_classes)
        x = self._mask_features(features, [each.proposal_boxes for each in regions])
        losses = self.mask_head[stage](self._scaled(x), regions)
        return global_mask_losses(losses, [each.gt_classes for each in regions], self.num_classes)

    def _mask_features(self, features, boxes):
        return self.mask_pooler([features[f] for f in self.mask_in_features], boxes)

    def _forward_mask(self, features, instances):
        if not (self.mask_on and self.per_stage_masks):
            return super()._forward_mask(features, instances)
        if self.training:
            return {}  # _forward_box has already computed the mask losses of each stage
        x = self._mask_features(features, [each.pred_boxes for each in instances])
        probabilities = []  # for each stage and image, a tensor (regions, 1, height, width)
        for head in self.mask_head:
            instances = head(x, instances)
            probabilities.append([each.pred_masks for each in instances])
        for each, masks in zip(instances, zip(*probabilities, strict=True), strict=True):
            each.pred_masks = torch.stack(masks).mean(dim=0)
        return instances


def mean_of_stages(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the mean of equally shaped scores, one tensor per stage, rounded as in ``CascadeROIHeads``."""
    return sum(scores[1:], scores[0]) * (1.0 / len(scores))


def _is_ground_truth(proposals: Instances) -> torch.Tensor:
    """Return bool (proposals,) for an image, True if the proposal equals its matched ground-truth box."""
    boxes = proposals.proposal_boxes.tensor
    if not proposals.has("gt_boxes"):  # the image has no objects
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    return (boxes == proposals.gt_boxes.tensor).all(dim=1)
