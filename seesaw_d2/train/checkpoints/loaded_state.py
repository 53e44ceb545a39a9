"""Compare the tensors of a checkpoint with those of a model."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from seesaw_d2.errors import WeightsError

# Modules whose parameters and buffers have one row for each category.
_BY_CATEGORY = re.compile(r"(?:^|\.)(?:box_predictor|mask_head(?:\.\d+)?\.predictor|classifier|cls_loss)\.")


def takes_categories(state: Mapping[str, Tensor], left_out: Iterable[str], num_classes: int) -> bool:
    """Return whether a parameter or buffer with rows for C categories is loaded.

    Args:
        state: state dict of the model.
        left_out: names that are not loaded.
        num_classes: C.
    """
    left_out = set(left_out)
    return any(
        name not in left_out and _BY_CATEGORY.search(name) and value.ndim > 0 and len(value) >= num_classes
        for name, value in state.items()
    )


def check_types(state: Mapping[str, Tensor], loaded: Mapping[str, Tensor], path: str) -> None:
    """Raise WeightsError unless the file has dense floating-point tensors for all floating-point parameters."""
    for name, value in loaded.items():
        if name in state and state[name].is_floating_point():
            plain = value.is_floating_point() and value.layout == torch.strided and not value.is_quantized
            if not plain or value.is_meta:
                raise WeightsError(
                    f"{path}: {name}: expected {state[name].dtype}, found {value.dtype} ({value.layout})"
                )


def wrong_shapes(incompatible) -> dict[str, str]:
    """Return a dict from name to problem for the wrong shapes in fvcore's report."""
    return {
        name: f"expected shape {tuple(model)}, found {tuple(found)}"
        for name, found, model in incompatible.incorrect_shapes
    }
