"""ImageNet weights of torchvision's ResNets: found, downloaded, and renamed for Detectron2's ResNet."""

import os
import re
import urllib.request

import torch
import torchvision
from detectron2.config import CfgNode

from seesaw_d2.errors import ConfigError, WeightsError

SCHEME = "torchvision://"
NAMES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

# Seconds for the server's first answer: without a network some machines would wait for minutes.
_TIMEOUT = 20

_RENAMES = (
    (r"^conv1\.", "stem.conv1."),
    (r"^bn1\.", "stem.conv1.norm."),
    (r"^layer(\d)\.(\d+)\.conv(\d)\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.conv{m[3]}."),
    (r"^layer(\d)\.(\d+)\.bn(\d)\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.conv{m[3]}.norm."),
    (r"^layer(\d)\.(\d+)\.downsample\.0\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut."),
    (r"^layer(\d)\.(\d+)\.downsample\.1\.", lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut.norm."),
)


def torchvision_file(uri: str) -> str:
    """The local file of ``torchvision://<name>``, downloaded into torch.hub's cache unless it is there.

    The weights are torchvision's IMAGENET1K_V1, as with MMDetection's ``torchvision://``.

    Raises:
        WeightsError: an unknown name, or the download failed; then the message says which file to put where.
    """
    name = uri.removeprefix(SCHEME)
    if name not in NAMES:
        raise WeightsError(f"MODEL.WEIGHTS: {uri}: expected {SCHEME} with one of {', '.join(NAMES)}")
    url = _url(name)
    path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(url))
    if not os.path.isfile(path):
        try:
            _download(url, path)
        except (OSError, RuntimeError) as error:  # the second: not the file that was expected
            raise WeightsError(
                f"MODEL.WEIGHTS: {uri}: cannot download {url} ({error}). Download it elsewhere and save it as {path}, "
                "or set MODEL.WEIGHTS to where it is"
            ) from error
    return path


def _url(name: str) -> str:
    return torchvision.models.get_model_weights(name).IMAGENET1K_V1.url


def _download(url: str, path: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_TIMEOUT).close()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    (digest,) = re.findall(r"-([0-9a-f]{8,})\.", os.path.basename(url))  # start of the file's SHA-256
    torch.hub.download_url_to_file(url, path, hash_prefix=digest)


def is_torchvision_resnet(state) -> bool:
    """Whether a loaded file holds the state of one of torchvision's ResNets."""
    return isinstance(state, dict) and {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"} <= state.keys()


def convert_resnet(state: dict[str, torch.Tensor], prefix: str = "") -> dict[str, torch.Tensor]:
    """Names of torchvision's ResNet to those of Detectron2's; no tensor changes. The classifier is left out.

    Args:
        state: torchvision's state.
        prefix: put before each name, such as "backbone.bottom_up.".

    Raises:
        WeightsError: a name that torchvision's ResNets do not have.
    """
    converted = {}
    for name, tensor in state.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        new_name = rename_resnet(name)
        if new_name is None:
            raise WeightsError(f"{name}: expected a name of torchvision's ResNets")
        # A plain dict: with torchvision's version numbers FrozenBatchNorm2d would change the variances.
        converted[prefix + new_name] = tensor
    return converted


def rename_resnet(name: str) -> str | None:
    """Detectron2's name of a parameter or statistic of torchvision's ResNets; None if they have none of this name."""
    for pattern, replacement in _RENAMES:
        new_name, found = re.subn(pattern, replacement, name)
        if found:
            return new_name
    return None


def resnet_prefix(model: torch.nn.Module) -> str:
    """What stands before the names of Detectron2's ResNet in a model.

    Raises:
        WeightsError: there is no ResNet, or more than one.
    """
    end = "stem.conv1.weight"
    prefixes = [name.removesuffix(end) for name in model.state_dict() if name.endswith(end)]
    if len(prefixes) != 1:
        raise WeightsError(
            f"MODEL.WEIGHTS: torchvision's ResNet weights are for a model with one ResNet, found {len(prefixes)}"
        )
    return prefixes[0]


def check_torchvision_config(cfg: CfgNode) -> None:
    """The model is the one that torchvision's weights are for; with Detectron2's defaults it would not be."""
    name = cfg.MODEL.WEIGHTS.removeprefix(SCHEME)
    if name not in NAMES:
        return  # its download will refuse it
    expected = {
        "MODEL.RESNETS.DEPTH": (cfg.MODEL.RESNETS.DEPTH, int(name.removeprefix("resnet"))),
        "MODEL.RESNETS.STRIDE_IN_1X1": (cfg.MODEL.RESNETS.STRIDE_IN_1X1, False),
        "INPUT.FORMAT": (cfg.INPUT.FORMAT, "RGB"),
    }
    for key, (found, value) in expected.items():
        if found != value:
            raise ConfigError(f"{key}: expected {value!r} with MODEL.WEIGHTS {cfg.MODEL.WEIGHTS}, found {found!r}")
