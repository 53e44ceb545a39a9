"""Checks of the arguments of ``ClassificationLoss.forward``.

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
    """Raise ValueError if an argument violates the description in ``ClassificationLoss.forward``.

    Check shapes and dtypes on every device, but values only on the CPU. On other devices reading values would
    synchronize host and device. In a compiled model it would break the graph.
    """
    if not logits.is_floating_point():
        raise ValueError(f"logits: expected a floating-point dtype, found {logits.dtype}")
    for name, values in (("labels", labels), ("weights", weights)):
        expected = (*logits.shape[:1], *logits.shape[2:])
        if values is not None and tuple(values.shape) != expected:
            found = tuple(values.shape)
            raise ValueError(f"{name}: expected shape {expected} for logits {tuple(logits.shape)}, found {found}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels: expected dtype torch.int64, found {labels.dtype}. Convert them with labels.long().")
    _check_avg_factor(avg_factor)
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():
        labels = labels if ignore_index is None else labels[labels != ignore_index]
        _check_values(labels, weights, num_label_values)


def check_objects(objects: Tensor, labels: Tensor) -> None:
    """Raise ValueError unless ``objects`` are N int64 values in [0, N), for labels (N,).

    Values are checked as in ``check_inputs``.
    """
    if objects.dtype != torch.int64 or objects.shape != labels.shape:
        expected, found = f"torch.int64 of shape {tuple(labels.shape)}", f"{objects.dtype} of {tuple(objects.shape)}"
        raise ValueError(f"objects: expected {expected}, found {found}")
    if objects.device.type == "cpu" and not torch.compiler.is_compiling() and objects.numel():
        low, high = (int(value) for value in objects.aminmax())
        if low < 0 or high >= len(labels):
            raise ValueError(f"objects: expected values in [0, {len(labels) - 1}], found {low} to {high}")


def _check_avg_factor(avg_factor: Any) -> None:
    if avg_factor is None:
        return
    if isinstance(avg_factor, Tensor):
        if avg_factor.dim():
            raise ValueError(f"avg_factor: expected a number or a tensor of shape (), found {tuple(avg_factor.shape)}")
    elif not isinstance(avg_factor, Real) or not 0 < avg_factor < math.inf:  # type: ignore[operator]
        raise ValueError(f"avg_factor: expected a finite number > 0, found {avg_factor!r}")


def _check_values(labels: Tensor, weights: Tensor | None, num_label_values: int) -> None:
    if labels.numel() == 0:
        return
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= num_label_values:
        raise ValueError(
            f"labels: expected values from 0 to {num_label_values - 1}, found values from {low} to {high}. "
            "Check num_classes of the loss."
        )
    if weights is not None and weights.device.type == "cpu" and not bool((weights >= 0).all()):
        raise ValueError(f"weights: expected values >= 0, found a minimum of {weights.min():g}")
