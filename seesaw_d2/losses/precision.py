"""Compute losses in float32 even if the model uses half precision or autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def widen(tensor: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32. Return other tensors unchanged."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context manager that disables autocast on the device type of ``device``."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
