"""Define operations on indices and boxes. Only ``read`` synchronizes host and device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def read(values: Sequence[Tensor]) -> list[int]:
    """Convert integer or bool tensors of shape () to Python ints, with one host-device synchronization for all."""
    return torch.stack([value.long() for value in values]).tolist() if values else []


def nth_true(mask: Tensor, order: Tensor) -> Tensor:
    """Return the indices of selected True elements of a mask, ``mask.nonzero()[order, 0]``, without a synchronization.

    For example, ``order`` [0, 2] selects the first and the third True element.

    Args:
        mask: bool (N,).
        order: int64 (K,), which True elements to select, counted from 0.

    Returns:
        int64 (K,).
    """
    return torch.searchsorted(mask.cumsum(0), order + 1)


def true_indices(mask: Tensor, count: int) -> Tensor:
    """Return the indices of the True elements of a 1-D mask, ``mask.nonzero()[:, 0]``, without a synchronization.

    ``count`` is the number of True elements. ``nonzero`` would have to read this number from the device.
    """
    return nth_true(mask, torch.arange(count, device=mask.device))


def clip_boxes(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Clip K boxes in XYXY format, (K, 4), to an image of ``size`` (height, width).

    ``Boxes.clip`` also checks for NaN and infinite values, which synchronizes host and device.
    """
    height, width = size
    corners = boxes[:, 0::2].clamp(min=0, max=width), boxes[:, 1::2].clamp(min=0, max=height)
    return torch.stack(corners, dim=2).flatten(1)
