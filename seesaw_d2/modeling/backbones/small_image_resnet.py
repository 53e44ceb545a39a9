"""Build residual networks for images of 32 x 32 pixels (He et al., CVPR 2016, section 4.2).

Shapes: N images of H x W pixels, (N, 3, H, W), and their features, (N, 64, H / 4, W / 4).
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

WIDTHS = (16, 32, 64)  # number of channels in each of the three stages


class ZeroPadShortcut(nn.Module):
    """Shortcut connection without parameters, for residual blocks ("option A" of He et al., CVPR 2016).

    The shortcut selects every ``stride``-th pixel in both directions. It adds ``channels`` channels of zeros, half of
    them before and half of them after the input channels.
    """

    def __init__(self, stride: int, channels: int):
        super().__init__()
        self.stride, self.padding = stride, channels // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))


def small_image_resnet(in_channels: int, blocks: int) -> nn.Sequential:
    """Build a residual network for small images, with three stages and ``blocks`` residual blocks in each stage.

    With 5 blocks, the network is ResNet-32 without the last layer and has 0.46 million parameters. Weights are
    initialized with ``kaiming_normal_``, as in the reference implementation of LDAM (github kaidic/LDAM-DRW).
    """
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, WIDTHS[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(inplace=True),
    ]
    before = WIDTHS[0]
    for width in WIDTHS:
        shortcut = None if width == before else ZeroPadShortcut(2, width - before)
        layers.append(BasicBlock(before, width, 1 if shortcut is None else 2, shortcut))
        layers += [BasicBlock(width, width) for _ in range(blocks - 1)]
        before = width
    network = nn.Sequential(*layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return network
