"""Detectron2's ROI heads with this project's box predictor.

``MODEL.ROI_HEADS.NAME: SeesawROIHeads`` (or ``SeesawCascadeROIHeads``, cascade.py) is all that a config needs; the mask
head is chosen by ``MODEL.ROI_MASK_HEAD.NAME`` as in Detectron2.
"""

from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import StandardROIHeads

from seesaw_d2.modeling.box_predictor import SeesawBoxPredictor, check_loss_keys


@ROI_HEADS_REGISTRY.register()
class SeesawROIHeads(StandardROIHeads):
    """``StandardROIHeads`` (Mask R-CNN) with a :class:`SeesawBoxPredictor`.

    Constructible from a config, or from explicit arguments as ``StandardROIHeads`` is, with
    ``box_predictor=SeesawBoxPredictor(...)``.
    """

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        check_loss_keys(cfg)  # before Detectron2 builds the predictor that this one replaces
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = SeesawBoxPredictor(cfg, ret["box_head"].output_shape)
        return ret
