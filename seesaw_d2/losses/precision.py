"""Provide functions to compute losses in float32 or float64, even if the model uses half precision or autocast."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class KeepsBufferTypes(nn.Module):
    """Module whose buffers do not lose precision in ``half``, ``bfloat16``, ``float``, ``to`` and similar methods.

    Also, ``load_state_dict`` raises an error instead of converting infinite values to integers. A state dict that was
    converted to half precision has such values, because float16 cannot represent counts above 65504.

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

    def _load_from_state_dict(self, state_dict, prefix, metadata, strict, missing_keys, unexpected_keys, error_msgs):
        for name, buffer in self.named_buffers(prefix[:-1], recurse=False):
            saved = state_dict.get(name)
            if isinstance(saved, Tensor) and not integers_are_finite(buffer, saved):
                error_msgs.append(
                    f"{name}: expected integers, found infinity or NaN in a tensor of type {saved.dtype}. Load the "
                    "original checkpoint, which was not converted to half precision."
                )
        types = {name: buffer.dtype for name, buffer in self.named_buffers(recurse=False)}
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing_keys, unexpected_keys, error_msgs)
        for name, dtype in types.items():  # load_state_dict(assign=True) would take the dtypes of the state dict
            setattr(self, name, getattr(self, name).to(dtype))


def integers_are_finite(buffer: Tensor, saved: Tensor) -> bool:
    """Return False if ``buffer`` contains integers and ``saved``, the value to load, contains infinity or NaN."""
    converted = not buffer.is_floating_point() and saved.is_floating_point() and saved.layout == torch.strided
    return not converted or saved.is_meta or bool(saved.isfinite().all())


def widen(tensor: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32. Return other tensors unchanged."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context manager that disables autocast on the device type of ``device``."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
