"""Detectron2's ROI heads with this project's box predictor.

``MODEL.ROI_HEADS.NAME: SeesawROIHeads`` (or ``SeesawCascadeROIHeads``, cascade.py) is all that a config needs; the mask
head is chosen by ``MODEL.ROI_MASK_HEAD.NAME`` as in Detectron2.
"""

from typing import ClassVar

import torch
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import StandardROIHeads

from seesaw_d2.losses.base import InvalidArgument
from seesaw_d2.modeling.box_predictor import PREDICTOR_KEYS, SeesawBoxPredictor
from seesaw_d2.modeling.heads_checks import check_heads_config
from seesaw_d2.utils.distributed import share_of_mean


def global_mask_losses(
    losses: dict[str, torch.Tensor], labels: list[torch.Tensor], num_classes: int
) -> dict[str, torch.Tensor]:
    """Averages over a process's foreground, weighted so that their mean over processes is that over all foreground.

    Detectron2's mask losses are means over a process's own foreground proposals, so that those of a process with few of
    them count for more. Collective: every process calls it, whatever it has.

    Args:
        losses: of a mask head.
        labels: of each image's proposals, (R_i,) in [0, num_classes]; those below num_classes are foreground.
    """
    count = sum(((each >= 0) & (each < num_classes)).sum() for each in labels)
    return {name: loss * share_of_mean(count, loss) for name, loss in losses.items()}


class GlobalMaskLosses:
    """Mixed into Detectron2's ROI heads, before them: one mask head's losses by ``global_mask_losses``.

    CenterNet2's attribute ``mult_proposal_score`` is refused where it is True: scores are the loss's alone.
    """

    def forward(self, images, features, proposals, targets=None):
        if getattr(self, "mult_proposal_score", False):
            raise InvalidArgument("mult_proposal_score", f"False with {type(self).__name__}", True)
        return super().forward(images, features, proposals, targets)

    def _forward_mask(self, features, instances):
        found = super()._forward_mask(features, instances)
        if self.training and self.mask_on:
            return global_mask_losses(found, [each.gt_classes for each in instances], self.num_classes)
        return found


@ROI_HEADS_REGISTRY.register()
class SeesawROIHeads(GlobalMaskLosses, StandardROIHeads):
    """``StandardROIHeads`` (Mask R-CNN) with a :class:`SeesawBoxPredictor`.

    Constructible from a config, or from explicit arguments as ``StandardROIHeads`` is, with
    ``box_predictor=SeesawBoxPredictor(...)``. In several processes the mask loss, too, is an average over the
    foreground of all (``global_mask_losses``); keypoint heads are Detectron2's.
    """

    # What it reads of a config beside the keys of ``StandardROIHeads``; ".*" is all below a node.
    config_keys: ClassVar[tuple[str, ...]] = PREDICTOR_KEYS

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        check_heads_config(cfg)  # before Detectron2 builds the predictor that this one replaces
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = SeesawBoxPredictor(cfg, ret["box_head"].output_shape)
        return ret
