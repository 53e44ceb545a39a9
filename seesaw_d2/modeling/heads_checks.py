"""Checks of the config of this project's ROI heads, made before Detectron2 builds a part of them."""

from detectron2.config import CfgNode

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.box_predictor import check_loss_keys

# Components for rotated boxes, which need other heads (RROIHeads).
_ROTATED = {"MODEL.PROPOSAL_GENERATOR": "RRPN", "MODEL.ANCHOR_GENERATOR": "RotatedAnchorGenerator"}


def check_heads_config(cfg: CfgNode) -> None:
    """Raise ConfigError unless ``SeesawROIHeads`` and its subclasses can be built from the config."""
    check_loss_keys(cfg)
    check_box_head(cfg)
    nodes = {
        "MODEL.PROPOSAL_GENERATOR": cfg.MODEL.PROPOSAL_GENERATOR,
        "MODEL.ANCHOR_GENERATOR": cfg.MODEL.ANCHOR_GENERATOR,
    }
    for key, node in nodes.items():
        if _ROTATED[key] == node.NAME:
            raise ConfigError(
                f"{key}.NAME: expected boxes without rotation with MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME}, "
                f"found {node.NAME!r}"
            )


def check_box_head(cfg: CfgNode) -> None:
    """Raise ConfigError for C4 configs, which have no box head."""
    if not cfg.MODEL.ROI_BOX_HEAD.NAME:
        raise ConfigError(
            f"MODEL.ROI_BOX_HEAD.NAME: expected a box head such as FastRCNNConvFCHead, found '' (with "
            f"MODEL.ROI_HEADS.NAME {cfg.MODEL.ROI_HEADS.NAME}). C4 configs, which use the backbone's res5 as box head, "
            "are not supported. Start from an FPN config"
        )
