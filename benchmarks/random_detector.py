"""A detector of any config with random weights that detect something."""

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from torch import nn

_SPREAD = 3.0  # of the classes' logits: some hundreds of 1203 categories above LVIS's threshold, not all and not none


def random_detector(cfg: CfgNode, image: np.ndarray) -> nn.Module:
    """The model in evaluation mode, the same for the same config.

    With the weights that a training starts from, what goes through a deep backbone grows from block to block, and every
    category has the same score everywhere. Here normalizations have the statistics of an image, categories differ, and
    boxes are moved.

    Args:
        cfg: of a detector.
        image: (3, H, W) uint8.
    """
    torch.manual_seed(0)
    model = build_model(cfg).eval()

    def take_statistics(norm, inputs):
        (x,) = inputs
        norm.running_mean.copy_(x.mean(dim=(0, 2, 3)))
        norm.running_var.copy_(x.var(dim=(0, 2, 3)))

    norms = [each for each in model.modules() if isinstance(each, (FrozenBatchNorm2d, nn.BatchNorm2d))]
    hooks = [norm.register_forward_pre_hook(take_statistics) for norm in norms]
    with torch.no_grad():
        model.backbone(model.preprocess_image([{"image": torch.from_numpy(image)}]).tensor)
        for name, module in model.named_modules():
            if name.endswith("cls_score"):
                module.bias[: model.roi_heads.num_classes].normal_(std=_SPREAD)
            if name.endswith("bbox_pred"):
                module.weight.normal_(std=0.02)
    for hook in hooks:
        hook.remove()
    return model
