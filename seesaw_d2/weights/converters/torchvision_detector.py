"""Convert weights of torchvision's Mask R-CNN (ResNet, FPN) to Detectron2.

After conversion, backbone, FPN, RPN head and both ROI heads compute the same functions as in torchvision. Detections
still differ slightly, because torchvision rounds anchors to whole pixels, resizes images in floating point, and uses
ROIAlign without the half-pixel offset. To use the same ROIAlign, set POOLER_TYPE to "ROIAlign" and
POOLER_SAMPLING_RATIO to 2 in MODEL.ROI_BOX_HEAD and MODEL.ROI_MASK_HEAD.
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
from seesaw_d2.weights.converters.fit_check import build_without_memory, check_finite, check_fit, model_shapes
from seesaw_d2.weights.converters.foreign_checkpoints import naming, read_foreign_checkpoint
from seesaw_d2.weights.safe_reading import SCORE_SETTINGS
from seesaw_d2.weights.score_settings import score_settings
from seesaw_d2.weights.torchvision_backbones import rename_resnet

_SCORES = "CrossEntropyLoss (background class)"  # ``score_settings`` of a head that computes torchvision's scores
_EPS = 1e-5  # eps of the batch normalization in Detectron2's models
# Each tuple renames parameters: (pattern for the start of torchvision's name, offset, start of Detectron2's name). "{}"
# stands for the number in torchvision's name plus the offset. Names before torchvision 0.13 lack the optional parts of
# the patterns, such as "0.".
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
# Layers whose parameters have rows for each category. Maps torchvision's name to a tuple (Detectron2's name, number of
# rows per category, whether Detectron2's layer also has rows for background). In torchvision, the rows of background
# come first.
_BY_CATEGORY = {
    "roi_heads.box_predictor.cls_score.": ("roi_heads.box_predictor.cls_score.", 1, True),
    "roi_heads.box_predictor.bbox_pred.": ("roi_heads.box_predictor.bbox_pred.", 4, False),
    "roi_heads.mask_predictor.mask_fcn_logits.": ("roi_heads.mask_head.predictor.", 1, False),
}


def convert_torchvision_detector(
    state: Mapping[str, Tensor], *, keep_classes: bool = False, eps: float = 0.0
) -> dict[str, Tensor]:
    """Convert a state dict of torchvision's Mask R-CNN to Detectron2's parameter names and category order.

    Args:
        state: torchvision's state dict.
        keep_classes: whether to convert the layers with rows for each category: the classifier, the box predictor and
            the mask predictor. If False, the function drops these layers. If True, background becomes the last row of
            the classifier, and the box and mask predictors lose their rows of background. If the layers have rows for
            torchvision's 91 COCO names (background, 80 categories and 10 unused "N/A"), the unused rows are dropped.
        eps: eps of the batch normalization in torchvision's model: 0 for published weights, 1e-5 for models trained
            from ImageNet weights. Detectron2 uses 1e-5. Therefore the function subtracts 1e-5 - eps from the variances.

    Returns:
        a dict from Detectron2's name to tensor.

    Raises:
        WeightsError: a name does not belong to torchvision's Mask R-CNN, or a layer has no rows for categories.
        ConfigError: ``eps`` is negative or not finite.
    """
    if not 0 <= eps < math.inf:
        raise ConfigError(f"--eps: expected a finite number >= 0, found {eps}")
    converted = {}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        layer = next((start for start in _BY_CATEGORY if name.startswith(start)), None)
        if layer is not None:
            if keep_classes:
                target, rows, background = _BY_CATEGORY[layer]
                if tensor.dim() == 0 or len(tensor) % rows or len(tensor) < 2 * rows:
                    raise WeightsError(
                        f"{name}: expected a multiple of {rows} rows, for background and at least one category, found "
                        f"shape {tuple(tensor.shape)}"
                    )
                converted[target + name.removeprefix(layer)] = _reordered(tensor, rows, background)
            continue
        new_name = _rename(name)
        if new_name is None:
            raise WeightsError(
                f"{name} is not a parameter of torchvision's maskrcnn_resnet50_fpn. Choose weights of this model."
            )
        converted[new_name] = tensor - (_EPS - eps) if name.endswith("running_var") else tensor
    if not converted:
        raise WeightsError("expected parameters of torchvision's Mask R-CNN, found no parameters")
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
    """Move the background rows of a parameter from the start to the end, or drop them.

    Args:
        tensor: (rows * (C + 1), ...), a parameter with rows for background and each of C categories.
        rows: number of rows for each category.
        background: whether to keep the rows of background. If False, they are dropped.

    Returns:
        (rows * (C + 1), ...), or (rows * C, ...) without background. If the parameter has rows for torchvision's 91
        COCO names, this function also drops the rows of the 10 unused names "N/A", and C becomes 80.
    """
    parts = tensor.reshape(-1, rows, *tensor.shape[1:])
    names = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    categories = [index for index in range(1, len(parts)) if len(parts) != len(names) or names[index] != "N/A"]
    chosen = [*categories, 0] if background else categories
    return parts[torch.tensor(chosen)].flatten(0, 1)


def _is_loss(module: str) -> bool:
    return module.startswith("roi_heads.box_predictor.") and module.endswith("cls_loss")


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
    """Convert a checkpoint file of torchvision's Mask R-CNN to a .pth file for the Mask R-CNN of a config.

    Args:
        source: path of a .pth file of torchvision, such as maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth.
        target: path of the .pth file to write.
        config_file, overrides: path of the config of the model, and config overrides [KEY, VALUE, ...].
        keep_classes: whether to convert the layers with rows for each category, such as the classifier.
        eps: eps of the batch normalization in torchvision's model: 0 for published weights, 1e-5 for models trained
            from ImageNet weights.
        overwrite: whether to replace an existing ``target``. If False, an existing ``target`` is an error.

    Returns:
        the names of the model's parameters that ``target`` does not contain. Training starts with the initial values
        of these parameters.

    Raises:
        ConfigError: ``target`` or the config is invalid.
        WeightsError: ``source`` is unreadable or does not fit the model of the config.
    """
    check_output(source, target, overwrite=overwrite)
    state, _ = read_foreign_checkpoint(source)
    with naming(source):
        converted = convert_torchvision_detector(state, keep_classes=keep_classes, eps=eps)
    check_finite(converted, source)
    built = build_without_memory(load_config(config_file, overrides))
    anew = check_fit(converted, model_shapes(built), source, config_file, partly=True)
    # Record the scores of torchvision's model, not of the config, because the config may have another loss of the same
    # shape. Without the classifier, the scores depend only on the training.
    record = {SCORE_SETTINGS: dict.fromkeys(filter(_is_loss, score_settings(built)), _SCORES)} if keep_classes else {}
    write_checkpoint(target, {"model": converted, **record})
    return anew
