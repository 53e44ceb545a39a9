"""Build torchvision's ResNets with random weights."""

import torch
import torchvision


def random_resnet(depth: int, **options) -> torch.nn.Module:
    """Return a ResNet in evaluation mode. Statistics and affine parameters are random, so that all have an effect."""
    torch.manual_seed(depth)
    model = getattr(torchvision.models, f"resnet{depth}")(**options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.3, 0.6)
            torch.nn.init.normal_(module.bias, std=0.1)
    return model.eval()
