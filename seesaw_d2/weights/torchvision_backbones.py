"""Download ImageNet weights of torchvision's ResNets, and rename them for Detectron2's ResNet."""

import os
import re

import torch
import torchvision
from detectron2.config import CfgNode

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.downloads import Limits, fetch

SCHEME = "torchvision://"
NAMES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

# Mean and standard deviation of the pixels with which torchvision trained the ResNets, in RGB order.
_MEAN, _STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
# Each pair renames parameters: a pattern for torchvision's name, and its replacement in Detectron2's name.
_RENAMES = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"^layer(\d)\.(\d+)\.conv(\d)\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.conv{m[3]}."),
    (r"^layer(\d)\.(\d+)\.bn(\d)\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.conv{m[3]}.norm."),
    (r"^layer(\d)\.(\d+)\.downsample\.0\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut."),
    (r"^layer(\d)\.(\d+)\.downsample\.1\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut.norm."),
)


def torchvision_file(uri: str, limits: Limits | None = None) -> str:
    """Return the path of the local file for an address ``torchvision://<name>``. Download a missing file.

    The weights are torchvision's IMAGENET1K_V1, as in MMDetection's ``torchvision://``. The file is in torch.hub's
    cache.

    Args:
        uri: the address, such as ``torchvision://resnet50``.
        limits: limits on the time and size of the download.

    Raises:
        WeightsError: the name is unknown, or the download failed.
    """
    name = uri.removeprefix(SCHEME)
    if name not in NAMES:
        raise WeightsError(f"MODEL.WEIGHTS: expected {SCHEME} followed by one of {', '.join(NAMES)}, found {uri}")
    url = _url(name)
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(url))
    if not os.path.isfile(path):
        try:
            _download(url, path, limits or Limits())
        except OSError as error:
            raise WeightsError(
                f"MODEL.WEIGHTS: {uri}: cannot download {url} ({error}). Download the file elsewhere and save it as "
                f"{path}, or set MODEL.WEIGHTS to the path of the file."
            ) from error
    return path


def _url(name: str) -> str:
    return torchvision.models.get_model_weights(name).IMAGENET1K_V1.url


def _download(url: str, path: str, limits: Limits) -> None:
    # torchvision's file names, such as resnet50-0676ba61.pth, contain the first digits of the SHA-256 of the file.
    # ``fetch`` verifies these digits.
    (digest,) = re.findall(r"-([0-9a-f]{8,})\.", os.path.basename(url))
    fetch(url, path, limits, digest=digest)


def is_torchvision_resnet(state) -> bool:
    """Return True if ``state``, an object loaded from a file, is the state dict of one of torchvision's ResNets."""
    return isinstance(state, dict) and {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"} <= state.keys()


def convert_resnet(
    state: dict[str, torch.Tensor], prefix: str = "", *, source: str = "state dict"
) -> dict[str, torch.Tensor]:
    """Rename the parameters and buffers of torchvision's ResNet for Detectron2's ResNet, and drop the classifier.

    Args:
        state: torchvision's state dict.
        prefix: prefix of each new name, such as "backbone.bottom_up.".
        source: file of the state dict, for the error message.

    Returns:
        a dict from new name to unchanged tensor.

    Raises:
        WeightsError: a name does not belong to torchvision's ResNets.
    """
    # Return a plain dict, because a state dict contains version numbers. With the version number of BatchNorm2d, some
    # versions of Detectron2's FrozenBatchNorm2d would subtract eps from the variances.
    converted = {}
    for name, tensor in state.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        new_name = rename_resnet(name)
        if new_name is None:
            raise WeightsError(
                f"{source}: expected only parameters and buffers of torchvision's ResNets, found {name!r}. Use weights "
                "of an unmodified ResNet."
            )
        converted[prefix + new_name] = tensor
    return converted


def rename_resnet(name: str) -> str | None:
    """Return Detectron2's name for a parameter or buffer of torchvision's ResNets, or None if the name is unknown.

    For example, "layer1.0.bn2.weight" gives "res2.0.conv2.norm.weight".
    """
    for pattern, replacement in _RENAMES:
        new_name, found = re.subn(pattern, replacement, name)
        if found:
            return new_name
    return None


def resnet_prefix(model: torch.nn.Module) -> str:
    """Return the prefix of ResNet parameters in a Detectron2 model, such as "backbone.bottom_up.".

    Raises:
        WeightsError: the model has no ResNet or several ResNets.
    """
    end = "stem.conv1.weight"
    prefixes = [name.removesuffix(end) for name in model.state_dict() if name.endswith(end)]
    if len(prefixes) != 1:
        raise WeightsError(
            "MODEL.WEIGHTS: torchvision's ResNet weights need a model with one ResNet. This model has "
            f"{len(prefixes)} ResNets."
        )
    return prefixes[0]


def check_torchvision_config(cfg: CfgNode) -> None:
    """Check that a config with ``torchvision://`` weights describes the ResNet for which the weights were trained.

    torchvision's ResNets use RGB images, divided by a standard deviation, and strides in the 3x3 convolutions, unlike
    Detectron2's defaults.

    Raises:
        ConfigError: MODEL.RESNETS.DEPTH, MODEL.RESNETS.STRIDE_IN_1X1 or INPUT.FORMAT has another value,
            MODEL.PIXEL_MEAN has torchvision's values in the order BGR, or MODEL.PIXEL_STD differs from torchvision's
            values by more than a factor of 2.
    """
    name = cfg.MODEL.WEIGHTS.removeprefix(SCHEME)
    if name not in NAMES:
        return  # torchvision_file raises an error for this name
    expected = {
        "MODEL.RESNETS.DEPTH": (cfg.MODEL.RESNETS.DEPTH, int(name.removeprefix("resnet"))),
        "MODEL.RESNETS.STRIDE_IN_1X1": (cfg.MODEL.RESNETS.STRIDE_IN_1X1, False),
        "INPUT.FORMAT": (cfg.INPUT.FORMAT, "RGB"),
    }
    for key, (found, value) in expected.items():
        if found != value:
            raise ConfigError(
                f"{key}: expected {value!r} with MODEL.WEIGHTS {cfg.MODEL.WEIGHTS}, found {found!r}. torchvision "
                "trained these weights with this value."
            )
    _check_normalization(cfg)


def _check_normalization(cfg: CfgNode) -> None:
    mean, std = cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD
    near_std = len(std) == 3 and all(one / 2 <= each <= one * 2 for one, each in zip(_STD, std, strict=True))
    wrong = {"MODEL.PIXEL_MEAN": (list(mean) == _MEAN[::-1], _MEAN, mean), "MODEL.PIXEL_STD": (not near_std, _STD, std)}
    for key, (is_wrong, expected, found) in wrong.items():
        if is_wrong:
            raise ConfigError(
                f"{key}: expected {expected} or similar values with MODEL.WEIGHTS {cfg.MODEL.WEIGHTS}, found {found}. "
                "torchvision trained these weights with these values, in RGB order."
            )
