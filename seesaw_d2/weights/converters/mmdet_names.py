"""Rename MMDetection's parameters of Mask R-CNN and Cascade Mask R-CNN with ResNet and FPN for Detectron2.

MMDetection 2.0 to 3.3 use the same names. Tensors do not change, because Detectron2 and MMDetection use the same
orders: class-specific box regression by category, anchors by position and then by aspect ratio, and features flattened
from (channels, height, width). MMDetection 1 is not supported, because background is its first class, and the width of
a box is x2 - x1 + 1.
"""

import re

from seesaw_d2.weights.torchvision_backbones import rename_resnet

# Matches the names of buffers that the converter drops: the batch counts of batch normalization, and the mean and
# standard deviation of the images. In this project, mean and standard deviation are config keys.
_DROPPED = re.compile(r"\.num_batches_tracked$|^data_preprocessor\.")
# Matches parameter names of the heads in MMDetection 1 and in one-stage models, such as "bbox_head.fc_cls.bias". In
# two-stage models of later versions, these names begin with "roi_head.".
_BEFORE_2 = re.compile(r"^(?:module\.)?(?:bbox_head|mask_head)\.")


# Each tuple renames parameters: (start of the name in MMDetection, start of the name in Detectron2, offset). "#" stands
# for the number of a layer or FPN level, to which the converter adds the offset. "@" stands for ".<stage>." in a
# cascade, otherwise for ".".
_TABLE = (
    ("neck.lateral_convs.#.conv.", "backbone.fpn_lateral#.", 2),
    ("neck.fpn_convs.#.conv.", "backbone.fpn_output#.", 2),
    ("rpn_head.rpn_conv.", "proposal_generator.rpn_head.conv.", 0),
    ("rpn_head.rpn_cls.", "proposal_generator.rpn_head.objectness_logits.", 0),
    ("rpn_head.rpn_reg.", "proposal_generator.rpn_head.anchor_deltas.", 0),
    ("roi_head.bbox_head@shared_fcs.#.", "roi_heads.box_head@fc#.", 1),
    ("roi_head.bbox_head@fc_cls.", "roi_heads.box_predictor@cls_score.", 0),
    ("roi_head.bbox_head@fc_reg.", "roi_heads.box_predictor@bbox_pred.", 0),
    ("roi_head.bbox_head@loss_cls.cum_samples", "roi_heads.box_predictor@cls_loss.class_counts", 0),
    ("roi_head.mask_head@convs.#.conv.", "roi_heads.mask_head@mask_fcn#.", 1),
    ("roi_head.mask_head@upsample.", "roi_heads.mask_head@deconv.", 0),
    ("roi_head.mask_head@conv_logits.", "roi_heads.mask_head@predictor.", 0),
)


def _compiled(source: str) -> re.Pattern:
    pattern = re.escape(source).replace(r"\#", "#")
    pattern = pattern.replace("@", r"(?P<stage>\.(?:\d+\.)?)").replace("#", r"(?P<number>\d{1,4})")
    return re.compile(f"^{pattern}(?=(?:weight|bias)$)" if source.endswith(".") else f"^{pattern}$")


_PATTERNS = tuple((_compiled(source), target, offset) for source, target, offset in _TABLE)


def plain_name(name: str) -> str:
    """Remove the prefix "module.", which DistributedDataParallel adds to parameter names."""
    return name.removeprefix("module.")


def is_dropped(name: str) -> bool:
    """Return True if ``name`` is a buffer in MMDetection's checkpoints that Detectron2's models do not need."""
    return bool(_DROPPED.search(plain_name(name)))


def is_before_2(name: str) -> bool:
    """Return True if ``name`` is a head parameter of MMDetection 1 or of a one-stage model: "bbox_head.fc_cls.bias"."""
    return bool(_BEFORE_2.match(name))


def rename_mmdet(name: str) -> str | None:
    """Return Detectron2's name for a parameter of MMDetection's detectors, or None if the name is unknown.

    For example, "neck.fpn_convs.0.conv.bias" gives "backbone.fpn_output2.bias".
    """
    name = plain_name(name)
    if name.startswith("backbone."):
        renamed = rename_resnet(name.removeprefix("backbone."))
        return None if renamed is None else f"backbone.bottom_up.{renamed}"
    for pattern, target, offset in _PATTERNS:
        match = pattern.match(name)
        if match:
            found = match.groupdict()
            number = str(int(found["number"]) + offset) if "number" in found else ""
            return target.replace("@", found.get("stage", "")).replace("#", number) + name[match.end() :]
    return None
