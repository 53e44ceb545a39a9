"""Check that converted weights fit a config's model, before they are written."""

from collections.abc import Mapping

import torch
from detectron2.config import CfgNode
from torch import Tensor

from seesaw_d2.errors import WeightsError
from seesaw_d2.modeling.building import build_model
from seesaw_d2.utils.messages import first_few
from seesaw_d2.weights.checkpoint_io import not_finite


def model_shapes(cfg: CfgNode) -> dict[str, torch.Size]:
    """Return a dict from name to shape of the saved parameters and buffers of a config's model."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        state = build_model(cfg).state_dict()
    return {name: value.shape for name, value in state.items() if not name.endswith("num_batches_tracked")}


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Raise WeightsError if ``state`` contains NaN or infinity. The message has the first names."""
    if names := not_finite(state):
        raise WeightsError(f"{source}: expected finite weights, found nan or infinity in {first_few(names)}")


def check_fit(
    state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], source: str, config: str, *, partly: bool = False
) -> list[str]:
    """Raise WeightsError unless ``state`` has exactly the model's parameters, in their shapes.

    Args:
        state: name -> converted tensor.
        shapes: result of ``model_shapes``.
        source, config: file names for the message.
        partly: allow missing parameters.

    Returns:
        the names of missing parameters, without buffers of losses, because predictions do not depend on them.
    """
    lacking = [name for name in shapes if name not in state and ".cls_loss." not in name]
    lines = [] if partly else [f"{name}: not in the checkpoint" for name in lacking]
    for name, value in state.items():
        if name not in shapes:
            lines.append(f"{name}: not in the model")
        elif value.shape != shapes[name]:
            lines.append(f"{name}: expected shape {tuple(shapes[name])}, found {tuple(value.shape)}")
    if lines:
        listed = "; ".join(lines[:5] + [f"and {len(lines) - 5} more"] * (len(lines) > 5))
        raise WeightsError(f"{source}: does not fit the model of {config}: {listed}")
    return lacking
