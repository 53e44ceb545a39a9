"""Check that converted weights fit the model of a config, before the weights are written."""

from collections.abc import Mapping

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from seesaw_d2.errors import WeightsError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.utils.messages import first_few
from seesaw_d2.weights.checkpoint_io import not_finite


def build_without_memory(cfg: CfgNode) -> nn.Module:
    """Build the model of a config on the device "meta", on which parameters have shapes, but no values."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        return build_model(cfg)


def model_shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Return a dict from the name of each parameter and buffer of a model, except num_batches_tracked, to its shape."""
    state = model.state_dict()
    return {name: value.shape for name, value in state.items() if not name.endswith("num_batches_tracked")}


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Raise WeightsError if a tensor contains NaN or infinity, or if a parameter contains integers.

    Args:
        state: dict from name to tensor.
        source: path of the checkpoint, for the error message.
    """
    for name, value in state.items():
        if not (value.is_floating_point() or name.endswith(".class_counts")):
            raise WeightsError(f"{source}: {name}: expected floating-point numbers, found {value.dtype}")
    if names := not_finite(state):
        raise WeightsError(
            f"{source}: expected finite weights, found NaN or infinity in the tensors {first_few(names)}"
        )


def check_fit(
    state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], source: str, config: str, *, partly: bool = False
) -> list[str]:
    """Check that converted weights have the parameter names and shapes of a model.

    Args:
        state: the converted weights, a dict from name to tensor.
        shapes: dict from the name of each parameter and buffer of the model to its shape (see ``model_shapes``).
        source, config: paths of the checkpoint and of the model's config, for error messages.
        partly: whether ``state`` may lack parameters of the model.

    Returns:
        the names of the parameters that ``state`` lacks. Buffers of losses may always be missing and are not returned,
        because predictions do not depend on them.

    Raises:
        WeightsError: a parameter is missing or unknown, or the shapes of a parameter differ.
    """
    lacking = [name for name in shapes if name not in state and ".cls_loss." not in name]
    lines = [] if partly else [f"{name}: not in the checkpoint" for name in lacking]
    for name, value in state.items():
        if name not in shapes:
            lines.append(f"{name}: not in the model")
        elif value.shape != shapes[name]:
            lines.append(f"{name}: expected shape {tuple(shapes[name])}, found shape {tuple(value.shape)}")
    if lines:
        listed = "; ".join(lines[:5] + [f"and {len(lines) - 5} more differences"] * (len(lines) > 5))
        raise WeightsError(f"{source}: the weights do not fit the model of {config}: {listed}. Choose another config")
    return lacking
