"""Build backbones of image classifiers: networks of torchvision and timm, and networks for small images."""

import importlib.util
import math

import torchvision
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from fvcore.nn.weight_init import c2_msra_fill
from torch import nn
from torchvision.models import resnet

from seesaw_d2.errors import ConfigError
from seesaw_d2.modeling.backbones.small_image_resnet import WIDTHS, small_image_resnet
from seesaw_d2.suggestions import did_you_mean, near_names
from seesaw_d2.utils.declared_keys import added_value, reads

# Names of the residual networks of torchvision that MODEL.CLASSIFIER.BACKBONE can select.
TORCHVISION = sorted(
    name
    for name in torchvision.models.list_models(module=torchvision.models)
    if name.startswith(("resnet", "resnext", "wide_resnet"))
)
# Plain convolutional networks for small images, without residual connections. Maps the name of a network to its layers.
# A layer is a pair (number of output channels, stride).
SMALL = {
    # 0.1 M parameters, for images of about 8 x 8 pixels.
    "tiny": ((32, 1), (64, 2), (128, 1)),
    # 0.2 M parameters, for images of about 32 x 32 pixels.
    "small": ((16, 2), (32, 2), (48, 1), (64, 2), (96, 1), (128, 1)),
}
NAMES = (*SMALL, "resnet10", "resnet32", *TORCHVISION)
_TIMM = "timm/"


@BACKBONE_REGISTRY.register()
@reads("MODEL.CLASSIFIER.BACKBONE")
def build_image_backbone(cfg, input_shape: ShapeSpec):
    """Build the backbone that ``MODEL.CLASSIFIER.BACKBONE`` names, with random weights.

    To load trained weights, set MODEL.WEIGHTS to a checkpoint of the classifier.

    Raises:
        ConfigError: the name is unknown, or the backbone requires timm, which is not installed.
    """
    name = added_value(cfg, "MODEL.CLASSIFIER.BACKBONE")
    check_image_backbone(name)
    if name in SMALL:
        widths, strides = zip(*SMALL[name], strict=True)
        return ImageBackbone(_plain(input_shape.channels, SMALL[name]), widths[-1], stride=math.prod(strides))
    if name.startswith(_TIMM):
        import timm

        model = timm.create_model(name.removeprefix(_TIMM), num_classes=0, in_chans=input_shape.channels)
        return ImageBackbone(model, model.num_features)
    if name == "resnet32":
        return ImageBackbone(small_image_resnet(input_shape.channels, blocks=5), WIDTHS[-1], stride=4)
    if name == "resnet10":  # Liu et al. (CVPR 2019) use ResNet-10 for ImageNet-LT. torchvision does not provide it.
        model = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1])
    else:
        model = torchvision.models.get_model(name, weights=None)
    channels = model.fc.in_features
    model.fc = nn.Identity()  # remove the last layer, so that the model returns pooled features
    return ImageBackbone(model, channels)


class ImageBackbone(Backbone):
    """Wrap a network as a Detectron2 backbone with one output, "features".

    Args:
        model: network that maps B images (B, 3, height, width) to pooled features (B, D) or feature maps (B, D, h, w).
        channels: number of channels D of the features.
        stride: stride of the feature maps, or None if ``model`` returns pooled features.
    """

    def __init__(self, model: nn.Module, channels: int, stride: int | None = None):
        super().__init__()
        self.model = model
        self._shape = ShapeSpec(channels=channels, stride=stride)

    def forward(self, x):
        return {"features": self.model(x)}

    def output_shape(self):
        return {"features": self._shape}


def check_image_backbone(name: str) -> None:
    """Raise ConfigError if no backbone has this name, or if the backbone requires timm, which is not installed."""
    key = "MODEL.CLASSIFIER.BACKBONE"
    if not name.startswith(_TIMM):
        _check_known(key, name, NAMES, f"one of {', '.join(NAMES)}, or timm/ and the name of a timm model")
        return
    if importlib.util.find_spec("timm") is None:
        raise ConfigError(f"{key}: {name!r} needs the package timm, which is not installed. Run: pip install timm")
    import timm

    known = timm.list_models()
    expected = f"timm/ and the name of one of {len(known)} timm models, such as timm/{known[0]}"
    _check_known(key, name.split(".")[0], [_TIMM + each for each in known], expected)


def _check_known(key: str, name: str, known, expected: str) -> None:
    if name not in known:
        raise ConfigError(f"{key}: expected {expected}, found {name!r}{did_you_mean(near_names(name, known))}")


def _plain(in_channels: int, layers: tuple[tuple[int, int], ...]) -> nn.Sequential:
    """Build a sequence of 3 x 3 convolutions, each with batch normalization and ReLU.

    ``layers`` contains the number of output channels and the stride of each convolution.
    """
    convs = []
    for width, stride in layers:
        conv = Conv2d(
            in_channels, width, 3, stride, padding=1, bias=False, norm=get_norm("BN", width), activation=nn.ReLU()
        )
        c2_msra_fill(conv)
        convs.append(conv)
        in_channels = width
    return nn.Sequential(*convs)
