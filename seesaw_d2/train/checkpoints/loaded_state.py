"""What can be wrong with the tensors of a checkpoint, beside the model's."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from seesaw_d2.errors import WeightsError

# Modules whose parameters and buffers have rows for the categories.
_BY_CATEGORY = re.compile(r"(?:^|\.)(?:box_predictor|mask_head(?:\.\d+)?\.predictor|classifier|cls_loss)\.")


def takes_categories(state: Mapping[str, Tensor], left_out: Iterable[str], num_classes: int) -> bool:
    """Return whether a parameter or buffer with rows for C categories is not among those that are left out.

    Args:
        state: of the model.
        left_out: names.
        num_classes: C.
    """
    left_out = set(left_out)
    return any(
        name not in left_out and _BY_CATEGORY.search(name) and value.ndim > 0 and len(value) >= num_classes
        for name, value in state.items()
    )


def check_types(state: Mapping[str, Tensor], loaded: Mapping[str, Tensor], path: str) -> None:
    """Raise WeightsError where a file has something else than floating point for a parameter that is floating point."""
    for name, value in loaded.items():
        if name in state and state[name].is_floating_point():
            plain = value.is_floating_point() and value.layout == torch.strided and not value.is_quantized
            if not plain or value.is_meta:
                raise WeightsError(
                    f"{path}: {name}: expected {state[name].dtype}, found {value.dtype} ({value.layout})"
                )


def wrong_shapes(incompatible) -> dict[str, str]:
    """Return name -> what is wrong, of fvcore's report."""
    return {
        name: f"expected shape {tuple(model)}, found {tuple(found)}"
        for name, found, model in incompatible.incorrect_shapes
    }
