"""Checks of the config of this project's ROI heads. They run before Detectron2 builds any part of the heads."""

from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import ROI_MASK_HEAD_REGISTRY, MaskRCNNConvUpsampleHead, Res5ROIHeads

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.box_predictor import check_loss_keys
from seesaw_d2.modeling.calibration.build import check_calibration_config

# Proposal generators, anchor generators and poolers that these heads do not support -> alternative for the message.
_ROTATED = (
    "boxes without rotation; for rotated ones combine RROIHeads with SeesawPredictors in Detectron2's programs "
    "(docs/downstream.md)"
)
_OTHER_HEADS = {
    "RRPN": _ROTATED,
    "RotatedAnchorGenerator": _ROTATED,
    "ROIAlignRotated": _ROTATED,
    "TridentRPN": "RPN: the branches of TridentNet need a class that derives from TridentNet's heads and then from "
    "these (docs/downstream.md)",
}


def check_heads_config(cfg: CfgNode) -> None:
    """Raise ConfigError unless this project's ROI heads can be built from the config."""
    check_loss_keys(cfg)
    check_calibration_config(cfg)
    check_box_head(cfg)
    heads, model = cfg.MODEL.ROI_HEADS.NAME, cfg.MODEL
    found = {
        "MODEL.PROPOSAL_GENERATOR.NAME": model.PROPOSAL_GENERATOR.NAME,
        "MODEL.ANCHOR_GENERATOR.NAME": model.ANCHOR_GENERATOR.NAME,
        "MODEL.ROI_BOX_HEAD.POOLER_TYPE": model.ROI_BOX_HEAD.POOLER_TYPE,
    }
    if model.MASK_ON:
        found["MODEL.ROI_MASK_HEAD.POOLER_TYPE"] = model.ROI_MASK_HEAD.POOLER_TYPE
    if model.KEYPOINT_ON:
        found["MODEL.ROI_KEYPOINT_HEAD.POOLER_TYPE"] = model.ROI_KEYPOINT_HEAD.POOLER_TYPE
    for key, name in found.items():
        if name in _OTHER_HEADS and _is_ours(heads):
            raise ConfigError(
                f"{key}: with MODEL.ROI_HEADS.NAME {heads}, expected {_OTHER_HEADS[name]}; found {name!r}"
            )
    weights = model.ROI_BOX_HEAD.BBOX_REG_WEIGHTS
    if len(weights) != 4 and _is_ours(heads):
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS: expected 4 numbers with MODEL.ROI_HEADS.NAME {heads}, whose boxes "
            f"are not rotated, found {weights}"
        )
    if model.MASK_ON:
        check_mask_pooling(cfg)
    if model.KEYPOINT_ON and is_c4(heads):
        raise ConfigError(
            f"MODEL.KEYPOINT_ON: expected False, or an FPN config, because {heads} has no keypoint head, found True"
        )


def check_box_head(cfg: CfgNode) -> None:
    """Raise ConfigError for a C4 config with heads for FPN or DC5, or for heads for C4 with another config.

    C4 configs have no box head, because the heads use the backbone's res5.
    """
    heads, box_head = cfg.MODEL.ROI_HEADS.NAME, cfg.MODEL.ROI_BOX_HEAD.NAME
    features = cfg.MODEL.ROI_HEADS.IN_FEATURES
    if not box_head and (not is_c4(heads) or heads == "Res5ROIHeads"):
        raise ConfigError(
            "MODEL.ROI_BOX_HEAD.NAME: expected a box head such as FastRCNNConvFCHead, found '' (with "
            f"MODEL.ROI_HEADS.NAME {heads}). Start from an FPN config (_BASE_), or set MODEL.ROI_HEADS.NAME "
            "SeesawRes5ROIHeads, whose box head is the backbone's res5 (C4)"
        )
    if box_head and is_c4(heads) and heads != "Res5ROIHeads":  # Detectron2's own heads ignore the key
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.NAME: expected '' with MODEL.ROI_HEADS.NAME {heads}, whose box head is the backbone's "
            f"res5 (C4), found {box_head!r}; use SeesawROIHeads with a box head"
        )
    if not features:
        raise ConfigError("MODEL.ROI_HEADS.IN_FEATURES: expected at least one feature map of the backbone, found none")
    if is_c4(heads) and len(features) != 1:
        raise ConfigError(
            f"MODEL.ROI_HEADS.IN_FEATURES: expected one feature map with MODEL.ROI_HEADS.NAME {heads} (C4), such as "
            f"['res4'], found {features}; use SeesawROIHeads with an FPN"
        )


def check_mask_pooling(cfg: CfgNode) -> None:
    """Raise ConfigError if the mask head needs pooled features and the config has no mask pooler (PointRend)."""
    node = cfg.MODEL.ROI_MASK_HEAD
    head = ROI_MASK_HEAD_REGISTRY.get(node.NAME) if node.NAME in ROI_MASK_HEAD_REGISTRY else None
    needs_pooling = isinstance(head, type) and issubclass(head, MaskRCNNConvUpsampleHead)
    if needs_pooling and not node.POOLER_TYPE and not is_c4(cfg.MODEL.ROI_HEADS.NAME):
        raise ConfigError(
            f"MODEL.ROI_MASK_HEAD.POOLER_TYPE: expected a pooler such as ROIAlignV2, because {node.NAME} "
            "needs pooled features, found ''. In a PointRend config, keep PointRend's mask head"
        )


def is_c4(heads: str) -> bool:
    """Return whether MODEL.ROI_HEADS.NAME is for C4 backbones, where res5 replaces the box head."""
    found = ROI_HEADS_REGISTRY.get(heads) if heads in ROI_HEADS_REGISTRY else None
    return isinstance(found, type) and issubclass(found, Res5ROIHeads)


def _is_ours(heads: str) -> bool:
    return heads in ROI_HEADS_REGISTRY and ROI_HEADS_REGISTRY.get(heads).__module__.startswith("seesaw_d2.")
