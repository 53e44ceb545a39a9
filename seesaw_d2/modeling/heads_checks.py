"""Check the config of this project's ROI heads before Detectron2 builds them."""

from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import ROI_MASK_HEAD_REGISTRY, MaskRCNNConvUpsampleHead, Res5ROIHeads

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.box_predictor import check_loss_keys
from seesaw_d2.modeling.calibration.build import check_calibration_config

_ROTATED = (
    "These heads do not support rotated boxes. For rotated boxes, derive ROI heads from SeesawPredictors and RROIHeads "
    "in your own program (docs/downstream.md)."
)
# Proposal generators, anchor generators and poolers that these heads do not support. Each value is a pair for the error
# message: a supported alternative, and advice.
_UNSUPPORTED = {
    "RRPN": ("RPN", _ROTATED),
    "RotatedAnchorGenerator": ("DefaultAnchorGenerator", _ROTATED),
    "ROIAlignRotated": ("ROIAlignV2", _ROTATED),
    "TridentRPN": (
        "RPN",
        "For TridentNet, define a class that derives from TridentNet's heads first and then from these heads "
        "(docs/downstream.md).",
    ),
}


def check_heads_config(cfg: CfgNode) -> None:
    """Raise ConfigError if this project's ROI heads do not support a value in the config, such as rotated boxes."""
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
        if name in _UNSUPPORTED and _is_ours(heads):
            supported, advice = _UNSUPPORTED[name]
            raise ConfigError(
                f"{key}: expected a value such as {supported} with MODEL.ROI_HEADS.NAME {heads}, found {name}. {advice}"
            )
    weights = model.ROI_BOX_HEAD.BBOX_REG_WEIGHTS
    if len(weights) != 4 and _is_ours(heads):
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS: expected 4 numbers with MODEL.ROI_HEADS.NAME {heads}, found "
            f"{len(weights)} numbers: {weights}. {_ROTATED}"
        )
    if model.MASK_ON:
        check_mask_pooling(cfg)
    if model.KEYPOINT_ON and is_c4(heads):
        raise ConfigError(
            f"MODEL.KEYPOINT_ON: expected False with MODEL.ROI_HEADS.NAME {heads}, found True. These heads have no "
            "keypoint head. For keypoints, start from an FPN config."
        )


def check_box_head(cfg: CfgNode) -> None:
    """Raise ConfigError if the box head or the input features do not match MODEL.ROI_HEADS.NAME.

    C4 heads use res5 of the backbone as box head, so MODEL.ROI_BOX_HEAD.NAME must be empty. For other heads,
    MODEL.ROI_BOX_HEAD.NAME must name a box head.
    """
    heads, box_head = cfg.MODEL.ROI_HEADS.NAME, cfg.MODEL.ROI_BOX_HEAD.NAME
    features = cfg.MODEL.ROI_HEADS.IN_FEATURES
    if not box_head and (not is_c4(heads) or heads == "Res5ROIHeads"):
        raise ConfigError(
            "MODEL.ROI_BOX_HEAD.NAME: expected a box head such as FastRCNNConvFCHead with MODEL.ROI_HEADS.NAME "
            f"{heads}, found ''. Set _BASE_ to an FPN config. For a C4 config, set MODEL.ROI_HEADS.NAME "
            "SeesawRes5ROIHeads instead, which uses res5 of the backbone as box head."
        )
    if box_head and is_c4(heads) and heads != "Res5ROIHeads":  # Detectron2's Res5ROIHeads ignores this key
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.NAME: expected '' with MODEL.ROI_HEADS.NAME {heads}, found {box_head!r}. C4 heads use "
            "res5 of the backbone as box head. To use another box head, set MODEL.ROI_HEADS.NAME SeesawROIHeads."
        )
    if not features:
        raise ConfigError("MODEL.ROI_HEADS.IN_FEATURES: expected at least one feature map of the backbone, found []")
    if is_c4(heads) and len(features) != 1:
        raise ConfigError(
            f"MODEL.ROI_HEADS.IN_FEATURES: expected one feature map with MODEL.ROI_HEADS.NAME {heads} (C4), such as "
            f"['res4'], found {features}. For an FPN, set MODEL.ROI_HEADS.NAME SeesawROIHeads."
        )


def check_mask_pooling(cfg: CfgNode) -> None:
    """Raise ConfigError if MODEL.ROI_MASK_HEAD.POOLER_TYPE is empty but the mask head needs pooled features."""
    node = cfg.MODEL.ROI_MASK_HEAD
    head = ROI_MASK_HEAD_REGISTRY.get(node.NAME) if node.NAME in ROI_MASK_HEAD_REGISTRY else None
    needs_pooling = isinstance(head, type) and issubclass(head, MaskRCNNConvUpsampleHead)
    if needs_pooling and not node.POOLER_TYPE and not is_c4(cfg.MODEL.ROI_HEADS.NAME):
        raise ConfigError(
            "MODEL.ROI_MASK_HEAD.POOLER_TYPE: expected a pooler such as ROIAlignV2 with MODEL.ROI_MASK_HEAD.NAME "
            f"{node.NAME}, found ''. In a PointRend config, set MODEL.ROI_MASK_HEAD.NAME to a mask head of PointRend "
            "instead, such as PointRendMaskHead."
        )


def is_c4(heads: str) -> bool:
    """Return whether ``heads`` is the name of C4 heads, which use res5 of the backbone as box head.

    Args:
        heads: a value of MODEL.ROI_HEADS.NAME.
    """
    found = ROI_HEADS_REGISTRY.get(heads) if heads in ROI_HEADS_REGISTRY else None
    return isinstance(found, type) and issubclass(found, Res5ROIHeads)


def _is_ours(heads: str) -> bool:
    return heads in ROI_HEADS_REGISTRY and ROI_HEADS_REGISTRY.get(heads).__module__.startswith("seesaw_d2.")
