"""Generate the same random weights on every machine, with MMDetection's names and calibrated scales."""

import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

_NORM = re.compile(r"(?:\bbn\d|downsample\.1)\.(weight|bias)$")
# Standard deviation of the outputs of these layers. All other layers have 1.
_SPREADS = {"rpn_cls": 2.0, "rpn_reg": 0.5, "conv_logits": 3.0}


@dataclass(frozen=True)
class Calibration:
    """Store the factor of each weight and statistic, and the summand of each bias, by name."""

    gains: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, list[float]] = field(default_factory=dict)


def random_state(shapes: Mapping[str, torch.Size], calibration: Calibration | None = None) -> dict[str, torch.Tensor]:
    """Return a calibrated tensor for each name and shape."""
    known = calibration or Calibration()
    state = {name: _values(name, tuple(shape)) * known.gains.get(name, 1) for name, shape in shapes.items()}
    return {**state, **{name: state[name] + torch.tensor(offset) for name, offset in known.offsets.items()}}


def _values(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith("cum_samples"):
        return torch.from_numpy(random.randint(1, 10**6, shape).astype(np.float32))
    if name.endswith("running_var"):
        values = random.uniform(0.8, 1.2, shape)
    elif name.endswith("running_mean"):
        values = random.normal(0, 0.1, shape)
    elif _NORM.search(name):
        values = random.uniform(0.3, 0.7, shape) if name.endswith("weight") else random.normal(0, 0.1, shape)
    elif name.endswith("bias"):
        values = random.normal(0, 0.5 if name.endswith("fc_cls.bias") else 0.1, shape)
    else:
        values = random.normal(0, 1 / math.sqrt(math.prod(shape[1:])), shape)
    return torch.from_numpy(values.astype(np.float32))


def calibrate(model: nn.Module, forward: Callable[[], object]) -> Calibration:
    """Scale each layer, in the order of ``forward``, so that its outputs have standard deviation 1.

    Otherwise, activations of a deep network with random weights vanish or explode, and one category always wins.
    """
    done = Calibration()
    gains = done.gains
    handles = []
    for name, module in model.named_modules():
        if type(module) in (nn.Conv2d, nn.ConvTranspose2d, nn.Linear):
            handles.append(module.register_forward_hook(_layer_hook(name, gains)))
        elif isinstance(module, nn.Linear):  # the normalized classifier
            handles.append(module.register_forward_hook(_classifier_hook(name, done.offsets)))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(_norm_hook(name, gains)))
    with torch.no_grad():
        forward()
    for handle in handles:
        handle.remove()
    return done


def _classifier_hook(name: str, offsets: dict[str, list[float]]):
    def hook(module, inputs, output):
        offset = -output.mean(dim=0)
        offsets[f"{name}.bias"] = [round(value, 3) for value in offset.tolist()]
        module.bias.add_(torch.tensor(offsets[f"{name}.bias"]))
        return type(module).forward(module, *inputs)

    return hook


def _layer_hook(name: str, gains: dict[str, float]):
    spread = _SPREADS.get(name.rsplit(".", 1)[-1], 1.0)

    def hook(module, inputs, output):
        if f"{name}.weight" in gains:  # several levels share this head
            return None
        gains[f"{name}.weight"] = gain = float(f"{spread / output.std().item():.4g}")
        module.weight.mul_(gain)
        return type(module).forward(module, *inputs)

    return hook


def _norm_hook(name: str, gains: dict[str, float]):
    def hook(module, inputs):
        variance = float(f"{inputs[0].var().item():.4g}")
        gains[f"{name}.running_var"], gains[f"{name}.running_mean"] = variance, float(f"{math.sqrt(variance):.4g}")
        module.running_var.mul_(variance)
        module.running_mean.mul_(gains[f"{name}.running_mean"])

    return hook
