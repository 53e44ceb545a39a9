"""Detectron2's ROI heads with this project's box predictor.

``MODEL.ROI_HEADS.NAME: SeesawROIHeads`` (or ``SeesawCascadeROIHeads``) is all that a config needs; the mask head is
chosen by ``MODEL.ROI_MASK_HEAD.NAME`` as in Detectron2.
"""

from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import CascadeROIHeads, StandardROIHeads

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.box_predictor import SeesawBoxPredictor


@ROI_HEADS_REGISTRY.register()
class SeesawROIHeads(StandardROIHeads):
    """``StandardROIHeads`` (Mask R-CNN) with a :class:`SeesawBoxPredictor`.

    Constructible from a config, or from explicit arguments as ``StandardROIHeads`` is, with
    ``box_predictor=SeesawBoxPredictor(...)``.
    """

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = SeesawBoxPredictor(cfg, ret["box_head"].output_shape)
        return ret


@ROI_HEADS_REGISTRY.register()
class SeesawCascadeROIHeads(CascadeROIHeads):
    """``CascadeROIHeads`` with a :class:`SeesawBoxPredictor`, and so a loss of its own, in every stage.

    At test time the stages' probabilities are averaged, as in Detectron2 (MMDetection averages logits).
    """

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        key = "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG"
        if not cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG:
            raise ConfigError(f"{key}: Cascade R-CNN needs class-agnostic boxes, expected True, found False")
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictors"] = [
            SeesawBoxPredictor(cfg, head.output_shape, box2box_transform=stage.box2box_transform)
            for head, stage in zip(ret["box_heads"], ret["box_predictors"], strict=True)
        ]
        return ret
