"""Checks of the arguments that every classification loss is called with.

Shapes: N proposals, L classifier logits.
"""

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor


def check_inputs(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None,
    avg_factor: Any,
    num_label_values: int,
    ignore_index: int | None = None,
) -> None:
    """Raise ValueError unless the arguments are as described in ``ClassificationLoss.forward``.

    Values of tensors are checked on the CPU only. On other devices the check would synchronize host and device, and in
    a compiled model it would break the graph.
    """
    if not logits.is_floating_point():
        raise ValueError(f"logits: expected a floating-point type, found {logits.dtype}")
    for name, values in (("labels", labels), ("weights", weights)):
        expected = (*logits.shape[:1], *logits.shape[2:])
        if values is not None and tuple(values.shape) != expected:
            found = tuple(values.shape)
            raise ValueError(f"{name}: expected shape {expected}, found {found}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels: expected torch.int64, found {labels.dtype}")
    _check_avg_factor(avg_factor)
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():
        labels = labels if ignore_index is None else labels[labels != ignore_index]
        _check_values(labels, weights, num_label_values)


def _check_avg_factor(avg_factor: Any) -> None:
    if avg_factor is None:
        return
    if isinstance(avg_factor, Tensor):
        if avg_factor.dim():
            raise ValueError(f"avg_factor: expected a number or a tensor of shape (), found {tuple(avg_factor.shape)}")
    elif not isinstance(avg_factor, Real) or not 0 < avg_factor < math.inf:  # type: ignore[operator]
        raise ValueError(f"avg_factor: expected a number > 0, found {avg_factor!r}")


def _check_values(labels: Tensor, weights: Tensor | None, num_label_values: int) -> None:
    if labels.numel() == 0:
        return
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= num_label_values:
        raise ValueError(f"labels: expected values in [0, {num_label_values - 1}], found {low} to {high}")
    if weights is not None and weights.device.type == "cpu" and not bool((weights >= 0).all()):
        raise ValueError(f"weights: expected values >= 0, found {weights.min():g}")
