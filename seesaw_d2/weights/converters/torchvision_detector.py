"""Convert torchvision's Mask R-CNN (ResNet, FPN) trained on COCO.

Shapes: C categories. After conversion, backbone, FPN, RPN head and both ROI heads compute the same functions as in
torchvision. Three differences remain: torchvision rounds anchors to whole pixels, resizes images in floating point, and
aligns regions without the half-pixel offset. POOLER_TYPE "ROIAlign" with POOLER_SAMPLING_RATIO 2, in
MODEL.ROI_BOX_HEAD and MODEL.ROI_MASK_HEAD, removes the last one.
"""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from seesaw_d2.config.loading import load_config
from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.weights.checkpoint_io import check_output, write_checkpoint
from seesaw_d2.weights.converters.fit_check import check_finite, check_fit, model_shapes
from seesaw_d2.weights.converters.foreign_checkpoints import naming, read_foreign_checkpoint
from seesaw_d2.weights.torchvision_backbones import rename_resnet

# eps of Detectron2's batch normalization.
_EPS = 1e-5
# (torchvision's name, offset of the number, Detectron2's name). Names before torchvision 0.13 lack the second number.
_RENAMES = (
    (r"^backbone\.fpn\.inner_blocks\.(\d)\.(?:0\.)?", 2, "backbone.fpn_lateral{}."),
    (r"^backbone\.fpn\.layer_blocks\.(\d)\.(?:0\.)?", 2, "backbone.fpn_output{}."),
    (r"^rpn\.head\.conv\.(?:0\.0\.)?", 0, "proposal_generator.rpn_head.conv."),
    (r"^rpn\.head\.cls_logits\.", 0, "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn\.head\.bbox_pred\.", 0, "proposal_generator.rpn_head.anchor_deltas."),
    (r"^roi_heads\.box_head\.fc(\d)\.", -5, "roi_heads.box_head.fc{}."),
    (r"^roi_heads\.mask_head\.(\d)\.0\.", 1, "roi_heads.mask_head.mask_fcn{}."),
    (r"^roi_heads\.mask_head\.mask_fcn(\d)\.", 0, "roi_heads.mask_head.mask_fcn{}."),
    (r"^roi_heads\.mask_predictor\.conv5_mask\.", 0, "roi_heads.mask_head.deconv."),
)
# Layers with rows for categories, background first -> (Detectron2's name, rows per category, keep background).
_BY_CATEGORY = {
    "roi_heads.box_predictor.cls_score.": ("roi_heads.box_predictor.cls_score.", 1, True),
    "roi_heads.box_predictor.bbox_pred.": ("roi_heads.box_predictor.bbox_pred.", 4, False),
    "roi_heads.mask_predictor.mask_fcn_logits.": ("roi_heads.mask_head.predictor.", 1, False),
}


def convert_torchvision_detector(
    state: Mapping[str, Tensor], *, keep_classes: bool = False, eps: float = 0.0
) -> dict[str, Tensor]:
    """Convert a state dict to Detectron2's names and order of categories.

    Args:
        state: torchvision's state dict.
        keep_classes: True: also convert the layers with rows for categories: classifier (background moves from the
            first row to the last), boxes and masks (background is dropped). If there are 91 categories, keep COCO's 80.
            False: drop these layers.
        eps: eps of the model's batch normalization: 0 for published weights, 1e-5 for models trained from ImageNet
            weights. The difference to Detectron2's eps is subtracted from the variances.

    Raises:
        WeightsError: a name does not belong to torchvision's Mask R-CNN.
        ConfigError: ``eps`` is negative or not a number.
    """
    if not 0 <= eps < math.inf:
        raise ConfigError(f"--eps: expected a number >= 0, found {eps}")
    converted = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        layer = next((start for start in _BY_CATEGORY if name.startswith(start)), None)
        if layer is not None:
            if keep_classes:
                target, rows, background = _BY_CATEGORY[layer]
                converted[target + name.removeprefix(layer)] = _reordered(tensor, rows, background)
            continue
        new_name = _rename(name)
        if new_name is None:
            raise WeightsError(f"{name}: expected a name of torchvision's Mask R-CNN with FPN (not version 2)")
        converted[new_name] = tensor - (_EPS - eps) if name.endswith("running_var") else tensor
    if not converted:
        raise WeightsError("expected parameters of torchvision's Mask R-CNN, found none")
    return converted


def _rename(name: str) -> str | None:
    if name.startswith("backbone.body."):
        renamed = rename_resnet(name.removeprefix("backbone.body."))
        return None if renamed is None else f"backbone.bottom_up.{renamed}"
    for pattern, offset, target in _RENAMES:
        match = re.match(pattern + "(?=(?:weight|bias)$)", name)
        if match:
            number = int(match[1]) + offset if match.groups() else ""
            return target.format(number) + name[match.end() :]
    return None


def _reordered(tensor: Tensor, rows: int, background: bool) -> Tensor:
    """Reorder rows from torchvision's C + 1 categories to Detectron2's C, plus background last if it is kept."""
    parts = tensor.view(-1, rows, *tensor.shape[1:])
    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    categories = [index for index in range(1, len(parts)) if len(parts) != len(names) or names[index] != "N/A"]
    chosen = [*categories, 0] if background else categories
    return parts[torch.tensor(chosen)].flatten(0, 1)


def convert_torchvision_file(
    source: str,
    target: str,
    config_file: str,
    overrides: Sequence[str] = (),
    *,
    keep_classes: bool = False,
    eps: float = 0.0,
    overwrite: bool = False,
) -> list[str]:
    """Convert a checkpoint file of torchvision's Mask R-CNN for a config's model.

    Args:
        source: a .pth file of torchvision, such as maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth.
        target: the .pth file to write.
        config_file, overrides: the config of the model.
        keep_classes, eps: see ``convert_torchvision_detector``.
        overwrite: replace ``target`` if it exists.

    Returns:
        the model's parameters that are missing in ``target`` and keep their initial values.

    Raises:
        ConfigError: ``target`` or the config is wrong.
        WeightsError: ``source`` cannot be read or does not fit the config's model.
    """
    check_output(source, target, overwrite=overwrite)
    state, _ = read_foreign_checkpoint(source)
    with naming(source):
        converted = convert_torchvision_detector(state, keep_classes=keep_classes, eps=eps)
    check_finite(converted, source)
    anew = check_fit(converted, model_shapes(load_config(config_file, overrides)), source, config_file, partly=True)
    write_checkpoint(target, {"model": converted})
    return anew
