"""Build a detector with random weights that finds objects in an image."""

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from torch import nn

# Standard deviation of the classifier's biases. With this value, some hundreds of 1203 categories get scores above
# LVIS's score threshold.
_SPREAD = 3.0


def random_detector(cfg: CfgNode, image: np.ndarray) -> nn.Module:
    """Return a model with random weights in evaluation mode. Equal arguments give equal weights.

    With the usual initial weights, features grow from block to block of a deep backbone, and all categories have the
    same score everywhere. Therefore, this function sets the statistics of the normalization layers to the statistics of
    an image, and draws random biases for the categories and random weights for the box regression.

    Args:
        cfg: config of a detector.
        image: uint8 array (3, height, width), the image whose statistics are used.
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
