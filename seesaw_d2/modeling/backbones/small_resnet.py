"""Build a small residual network with FPN, for small images and for training on a CPU.

Shapes: N images of H x W pixels, (N, 3, H, W). The output of stage s = 0, 1, ... has MODEL.SMALL_RESNET.WIDTHS[s]
channels and the size H / 2^(s+2) x W / 2^(s+2).
"""

from itertools import pairwise

import torch.nn.functional as F
from detectron2.layers import CNNBlockBase, Conv2d, get_norm
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.fpn import FPN
from detectron2.modeling.backbone.resnet import BasicBlock, ResNet
from fvcore.nn.weight_init import c2_msra_fill

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.declared_keys import added_value, reads


class SmallStem(CNNBlockBase):
    """First layers of a residual network for small images: two 3 x 3 convolutions, each with stride 2.

    The stem of ResNet, a 7 x 7 convolution with pooling, would lose too many details of objects of about 30 x 30
    pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str):
        super().__init__(in_channels, out_channels, 4)
        self.conv1 = _conv(in_channels, out_channels, norm)
        self.conv2 = _conv(out_channels, out_channels, norm)

    def forward(self, x):
        return F.relu_(self.conv2(F.relu_(self.conv1(x))))


def _conv(in_channels: int, out_channels: int, norm: str) -> Conv2d:
    conv = Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False, norm=get_norm(norm, out_channels))
    c2_msra_fill(conv)
    return conv


@BACKBONE_REGISTRY.register()
@reads("MODEL.SMALL_RESNET.*", "MODEL.RESNETS.NORM", "MODEL.FPN.*", "MODEL.BACKBONE.FREEZE_AT")
def build_small_resnet_fpn_backbone(cfg, input_shape):
    """Build a residual network of basic blocks with an FPN on the stages ``MODEL.FPN.IN_FEATURES``.

    This function reads the config keys ``MODEL.SMALL_RESNET.*``, ``MODEL.FPN.*``, ``MODEL.BACKBONE.FREEZE_AT`` and
    ``MODEL.RESNETS.NORM``. To train from scratch, set the last key to "BN". The stages are named res2, res3, ..., and
    the outputs of the FPN are named p2, p3, ....

    Raises:
        ConfigError: a key has an invalid value.
    """
    node = added_value(cfg, "MODEL.SMALL_RESNET")
    widths, blocks = node.WIDTHS, node.BLOCKS
    _check(widths, blocks, cfg.MODEL.FPN.IN_FEATURES)
    norm = cfg.MODEL.RESNETS.NORM
    stages, in_channels = [], widths[0]
    for index, width in enumerate(widths):
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                blocks,
                stride_per_block=[2 if index else 1] + [1] * (blocks - 1),
                in_channels=in_channels,
                out_channels=width,
                norm=norm,
            )
        )
        in_channels = width
    resnet = ResNet(
        SmallStem(input_shape.channels, widths[0], norm), stages, out_features=cfg.MODEL.FPN.IN_FEATURES
    ).freeze(cfg.MODEL.BACKBONE.FREEZE_AT)
    node = cfg.MODEL.FPN
    return FPN(resnet, node.IN_FEATURES, node.OUT_CHANNELS, norm=node.NORM, fuse_type=node.FUSE_TYPE)


def _check(widths, blocks, in_features) -> None:
    if not widths or any(width < 1 for width in widths):
        raise ConfigError(f"MODEL.SMALL_RESNET.WIDTHS: expected one or more integers >= 1, found {widths}")
    if any(a == b for a, b in pairwise(widths)):  # with equal widths, BasicBlock has no shortcut with stride 2
        raise ConfigError(
            f"MODEL.SMALL_RESNET.WIDTHS: expected different widths in consecutive stages, found {widths}. A stage as "
            "wide as the stage before it cannot reduce the resolution."
        )
    if blocks < 1:
        raise ConfigError(f"MODEL.SMALL_RESNET.BLOCKS: expected an integer >= 1, found {blocks}")
    stages = [f"res{index + 2}" for index in range(len(widths))]
    if not in_features or not set(in_features) <= set(stages):
        raise ConfigError(
            f"MODEL.FPN.IN_FEATURES: expected one or more stages of MODEL.SMALL_RESNET ({', '.join(stages)}), found "
            f"{in_features}"
        )
