"""Provide functions to compute losses in float32 or float64, even if the model uses half precision or autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class KeepsBufferTypes(nn.Module):
    """Module whose buffers do not lose precision in ``half``, ``bfloat16``, ``float``, ``to`` and similar methods.

    These methods can convert floating-point buffers to a wider dtype, but not to a narrower one. Integer buffers, such
    as counts, keep their dtype. The reason is that the buffers of losses contain sums over a whole training. In half
    precision, adding a small number to a large sum has no effect.
    """

    def _apply(self, fn, recurse=True):
        buffers = {id(each) for each in self.buffers()}

        def apply(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            if id(tensor) not in buffers or changed.dtype == tensor.dtype:
                return changed
            wider = torch.promote_types(tensor.dtype, changed.dtype) if tensor.is_floating_point() else tensor.dtype
            return tensor.to(changed.device, wider)

        return super()._apply(apply, recurse)


def widen(tensor: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32. Return other tensors unchanged."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context manager that disables autocast on the device type of ``device``."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
