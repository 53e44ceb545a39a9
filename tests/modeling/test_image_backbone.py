"""Test the backbones for small images."""

import torch
from torch import nn

from seesaw_d2.modeling.backbones.small_image_resnet import ZeroPadShortcut, small_image_resnet


def test_resnet32_is_the_papers():
    """Test ResNet-32 of He et al.: 32 layers with weights including the classifier, and 0.46 M parameters."""
    network = small_image_resnet(3, blocks=5)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 31
    classifier = 64 * 10 + 10
    assert sum(parameter.numel() for parameter in network.parameters()) + classifier == 464_154
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 64, 8, 8)


def test_shortcut_without_parameters():
    x = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4)
    y = ZeroPadShortcut(2, 2)(x)
    assert y.shape == (1, 4, 2, 2)
    assert y[0, ::3].tolist() == [[[0, 0], [0, 0]]] * 2
    assert y[0, 1:3].tolist() == x[0, :, ::2, ::2].tolist()
