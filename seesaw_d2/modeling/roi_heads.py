"""Define Detectron2's ROI heads with the box predictor of this package.

``MODEL.ROI_HEADS.NAME`` selects ``SeesawROIHeads`` (for FPN or DC5), ``SeesawRes5ROIHeads`` (for C4) or
``SeesawCascadeROIHeads`` (in cascade.py). ``MODEL.ROI_MASK_HEAD.NAME`` selects the mask head, as in Detectron2.
"""

from typing import ClassVar

import torch
from detectron2.layers import ShapeSpec, cat
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, Res5ROIHeads, StandardROIHeads
from detectron2.modeling.roi_heads.roi_heads import select_foreground_proposals
from torch import nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.losses.argument_checks import Description, InvalidArgument
from seesaw_d2.modeling.box_predictor import BOX_KEYS, SeesawBoxPredictor
from seesaw_d2.modeling.fewer_gpu_syncs.heads import FewerWaits
from seesaw_d2.modeling.heads_checks import check_heads_config
from seesaw_d2.modeling.object_classes import check_object_classes
from seesaw_d2.modeling.parameter_types import check_parameter_type
from seesaw_d2.utils.distributed import share_of_mean


def global_mask_losses(
    losses: dict[str, torch.Tensor], labels: list[torch.Tensor], num_classes: int
) -> dict[str, torch.Tensor]:
    """Scale the mask losses of this process, so that DDP averages them over the foreground proposals of all processes.

    Detectron2 averages the mask losses over the foreground proposals of each process, and DDP averages the gradients
    over the processes. Therefore a proposal has a larger weight in a process with few foreground proposals. After
    scaling, the mean over the processes is the mean over the foreground proposals of all processes.

    This is a collective operation: every process must call this function.

    Args:
        losses: losses of a mask head, averaged over the foreground proposals of this process.
        labels: for each image, the labels of its proposals. Labels in [0, num_classes) are foreground.
        num_classes: number of categories.
    """
    count = sum(((each >= 0) & (each < num_classes)).sum() for each in labels)
    return {name: loss * share_of_mean(count, loss) for name, loss in losses.items()}


class GlobalMaskLosses:
    """Mixin for Detectron2's ROI heads that averages the mask loss over the foreground proposals of all processes.

    ``global_mask_losses`` computes the average. The mixin supports heads with a single mask head.

    Raises:
        InvalidArgument: a box predictor is Detectron2's ``FastRCNNOutputLayers``, which does not use ``cls_loss``.
        ValueError: ``forward`` is called, and the heads have a base class of another project that is not supported, for
            example TridentNet's heads, or parameters and proposals of different dtypes.
    """

    num_classes: int

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        predictor = self.box_predictor
        for each in predictor if isinstance(predictor, nn.ModuleList) else [predictor]:
            if type(each) is FastRCNNOutputLayers:
                key = "box_predictors" if predictor is not each else "box_predictor"
                advice = "In a LazyConfig, set _target_ of the box predictor to SeesawBoxPredictor and add cls_loss."
                raise InvalidArgument(key, "SeesawBoxPredictor", Description("FastRCNNOutputLayers"), advice)

    def forward(self, images, features, proposals, targets=None):
        self.check_call(proposals, targets)
        return super().forward(images, features, proposals, targets)

    def check_call(self, proposals, targets) -> None:
        """Raise ValueError if a class is out of range, dtypes differ, or a base class does not work with these heads.

        The dtype of the parameters must be that of the proposals.

        CenterNet2's attribute ``mult_proposal_score`` must be False, because the loss defines the scores. Heads that
        repeat the images, such as TridentNet's, are not supported.

        Args:
            proposals: one ``Instances`` for each image.
            targets: ground truth of each image, or None at inference.
        """
        if proposals and proposals[0].has("proposal_boxes"):
            check_parameter_type(self, proposals[0].proposal_boxes.tensor.dtype)  # type: ignore[arg-type]
        if getattr(self, "mult_proposal_score", False):
            expected, advice = f"False with {type(self).__name__}", "The loss defines the scores."
            raise InvalidArgument("mult_proposal_score", expected, True, advice)
        if targets is not None and len(targets) != len(proposals):
            raise ValueError(
                f"proposals: expected one item for each of the {len(targets)} images, found {len(proposals)} items. In "
                "the base classes of your ROI heads, list heads that repeat the images, such as TridentNet's, before "
                "the heads of seesaw_d2 (docs/downstream.md)."
            )
        check_object_classes(targets or (), self.num_classes)

    def _forward_mask(self, features, instances):
        found = super()._forward_mask(features, instances)
        if self.training and self.mask_on:
            return global_mask_losses(found, [each.gt_classes for each in instances], self.num_classes)
        return found


@ROI_HEADS_REGISTRY.register()
class SeesawROIHeads(GlobalMaskLosses, FewerWaits, StandardROIHeads):
    """``StandardROIHeads`` (Mask R-CNN) with a :class:`SeesawBoxPredictor`.

    Construct the heads from a config, or with the arguments of ``StandardROIHeads`` and
    ``box_predictor=SeesawBoxPredictor(...)``. In distributed training, the mask loss is an average over the foreground
    proposals of all processes (see ``global_mask_losses``). Keypoint heads are unchanged.
    """

    # Config keys of this project that this class reads. The suffix ".*" stands for all keys below a node. If no class
    # declares a key, only train_net.py reads it. Then other programs warn that the key has no effect.
    config_keys: ClassVar[tuple[str, ...]] = BOX_KEYS

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        check_heads_config(cfg)  # check first, because the errors of super() do not name the config key
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = SeesawBoxPredictor(cfg, ret["box_head"].output_shape)
        return ret


@ROI_HEADS_REGISTRY.register()
class SeesawRes5ROIHeads(GlobalMaskLosses, FewerWaits, Res5ROIHeads):
    """``Res5ROIHeads`` (C4 backbones) with a :class:`SeesawBoxPredictor`.

    Construct the heads from a config, or with the arguments of ``Res5ROIHeads`` and
    ``box_predictor=SeesawBoxPredictor(...)``. The mask loss is averaged as in ``SeesawROIHeads``.
    """

    config_keys: ClassVar[tuple[str, ...]] = BOX_KEYS

    @classmethod
    def from_config(cls, cfg, input_shape):
        check_heads_config(cfg)
        (name,), channels = cfg.MODEL.ROI_HEADS.IN_FEATURES, 4 * cfg.MODEL.RESNETS.RES2_OUT_CHANNELS
        if input_shape[name].channels != channels:
            raise ConfigError(
                f"MODEL.ROI_HEADS.IN_FEATURES: expected a feature map with {channels} channels, such as res4 of a "
                f"ResNet, found {name} with {input_shape[name].channels} channels"
            )
        ret = super().from_config(cfg, input_shape)
        channels = ret["box_predictor"].cls_score.in_features
        ret["box_predictor"] = SeesawBoxPredictor(cfg, ShapeSpec(channels=channels, height=1, width=1))
        return ret

    def forward(self, images, features, proposals, targets=None):
        """Return the results of ``Res5ROIHeads.forward``.

        In training, the mask loss is an average over the foreground proposals of all processes.
        """
        if not self.training:
            return super().forward(images, features, proposals, targets)
        self.check_call(proposals, targets)
        proposals = self.label_and_sample_proposals(proposals, targets)
        boxes = [each.proposal_boxes for each in proposals]
        x = self._shared_roi_transform([features[name] for name in self.in_features], boxes)
        losses = self.box_predictor.losses(self.box_predictor(x.mean(dim=[2, 3])), proposals)
        if self.mask_on:
            foreground, selected = select_foreground_proposals(proposals, self.num_classes)
            found = self.mask_head(x[cat(selected)], foreground)
            losses |= global_mask_losses(found, [each.gt_classes for each in foreground], self.num_classes)
        return [], losses
