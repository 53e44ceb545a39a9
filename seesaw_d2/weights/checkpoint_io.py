"""Read and write checkpoints outside of training."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.atomic_files import atomic_file
from seesaw_d2.utils.own_files import is_plain_file
from seesaw_d2.weights.safe_reading import check_regular_file, read_weights_file
from seesaw_d2.weights.torch_files import is_archive, seal


def read_checkpoint(path: str, *, inspect: bool = False) -> dict[str, Any]:
    """Load a checkpoint of Detectron2 or of this project on the CPU. Its weights are below the key "model".

    It loads only tensors and plain values, and runs no code in the file. For ``inspect`` see ``read_weights_file``.

    Raises:
        WeightsError: the file cannot be read, is corrupt or is not a checkpoint.
    """
    state = read_weights_file(path, inspect=inspect)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise WeightsError(f'{path}: expected a checkpoint with the weights below "model"')
    return state


def write_checkpoint(path: str, state: Any) -> None:
    """Write a checkpoint atomically (see ``atomic_file``), with a checksum (see ``seal``). Create the folder.

    Raises:
        OutputError: the file cannot be written, for example because the disk is full.
    """
    with atomic_file(path, needed=_size(state)) as file:
        torch.save(state, file)
        seal(file)


def write_safetensors(path: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and text metadata to a safetensors file, atomically. Tensors that share memory are copied.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_file(path) as file:
        file.write(save({name: value.contiguous().clone() for name, value in tensors.items()}, metadata))


def _size(value: Any) -> int:
    """Return the total size of the tensors in a state, in bytes."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_size(each) for each in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(each) for each in value)
    return 0


def check_output(source: str, target: str, *, overwrite: bool) -> None:
    """Check the input file of a conversion, then its output file.

    Raises:
        WeightsError: ``source`` is not a file.
        ConfigError: ``target`` is not a .pth file, equals ``source``, or exists while ``overwrite`` is False or it is
            not a PyTorch file.
    """
    check_regular_file(source)
    if not target.endswith(".pth"):
        raise ConfigError(f"output: expected the name of a .pth file, found {target}")
    if os.path.realpath(source) == os.path.realpath(target):
        raise ConfigError(f"output: expected another file than the checkpoint, found {target}")
    if os.path.isdir(target) or (os.path.lexists(target) and not overwrite):
        raise ConfigError(
            f"{target}: expected the name of a new file, found an existing one; use --overwrite to replace it"
        )
    if os.path.lexists(target) and not (is_plain_file(target) and is_archive(target)):
        raise ConfigError(
            f"{target}: expected a new file name or an existing PyTorch file to replace, found a file of another kind; "
            "nothing was written"
        )


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that contain NaN or infinity."""
    return [name for name, value in state.items() if value.is_floating_point() and not _is_finite(value)]


def _is_finite(value: Tensor) -> bool:
    # NaN and infinity remain in a sum, which is several times as fast. A sum of finite values can overflow.
    return bool(value.sum().isfinite() or value.isfinite().all())
