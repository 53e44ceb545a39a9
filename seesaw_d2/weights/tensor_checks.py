"""Check that the values in a weights file are tensors that can be loaded or converted."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.messages import shortened, shown

_MAX_EXPANDED = 2**28  # bytes of a tensor that has more elements than the file


def as_tensor(name: Any, value: Any, path: str) -> Tensor:
    """Return a value of a weights file as a tensor.

    Args:
        name: name of the parameter.
        value: the value, a tensor or an array.
        path: path of the file, for error messages.

    Raises:
        WeightsError: the name is not a string, or the value is neither an array of numbers nor a tensor with values.
    """
    if not isinstance(name, str):
        raise WeightsError(f"{path}: expected strings as parameter names, found {shown(name)}")
    if isinstance(value, np.ndarray):
        try:
            return torch.from_numpy(value)
        except TypeError as error:
            found = shortened(str(value.dtype))
            raise WeightsError(
                f"{path}: {shortened(name)}: expected an array of numbers, found an array of dtype {found}"
            ) from error
    if not isinstance(value, Tensor):
        raise WeightsError(f"{path}: {shown(name)}: expected a tensor or an array, found {shown(value)}")
    if value.is_nested or value.is_meta:
        found = "a nested tensor" if value.is_nested else "a tensor on the device meta, which has no values"
        raise WeightsError(f"{path}: {shortened(name)}: expected a tensor with a shape and values, found {found}")
    return value


def is_dense(value: Tensor) -> bool:
    """Return whether a tensor is neither sparse nor quantized, and as large as its shape says.

    In a small file, a tensor with strides of 0 can have a shape of many terabytes.
    """
    if value.layout != torch.strided or value.is_quantized:
        return False
    size = value.numel() * value.element_size()
    return size <= max(value.untyped_storage().nbytes(), _MAX_EXPANDED)


def described(value: Tensor) -> str:
    """Return type, layout and shape of a tensor as text, for error messages."""
    return f"{value.dtype} with layout {value.layout} and shape {tuple(value.shape)}"


def check_real(name: str, value: Tensor, path: str) -> None:
    """Raise WeightsError if a tensor is not dense (``is_dense``), or not of real numbers.

    Args:
        name: name of the parameter.
        value: the tensor, which ``as_tensor`` accepts.
        path: path of the file, for the error message.
    """
    if not is_dense(value) or value.is_complex() or value.dtype == torch.bool:
        raise WeightsError(
            f"{path}: {shortened(name)}: expected a dense tensor of real numbers, found {described(value)}"
        )
