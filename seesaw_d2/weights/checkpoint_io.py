"""Read and write checkpoints outside of training."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.atomic_files import atomic_file
from seesaw_d2.utils.messages import first_few, shown
from seesaw_d2.utils.own_files import is_plain_file
from seesaw_d2.weights.safe_reading import check_regular_file, read_weights_file
from seesaw_d2.weights.torch_files import is_archive, seal


def read_checkpoint(path: str, *, inspect: bool = False) -> dict[str, Any]:
    """Load a checkpoint of Detectron2 or of this project to the CPU, without running code in the file.

    Args:
        path: path of the checkpoint.
        inspect: whether to verify the checksums of all records, and to memory-map the tensors instead of copying them
            to memory.

    Returns:
        the checkpoint, a dict of tensors and plain values with the weights at the key "model".

    Raises:
        WeightsError: the file is unreadable, corrupt or not a checkpoint.
    """
    state = read_weights_file(path, inspect=inspect)
    if not isinstance(state, dict):
        raise WeightsError(f'{path}: expected a dict with the key "model", found {shown(state)}')
    if not isinstance(state.get("model"), dict):
        keys = [key for key in state if isinstance(key, str)]
        found = shown(state["model"]) if "model" in state else f"only the keys {first_few(keys)}"
        raise WeightsError(f'{path}: expected a dict of weights below the key "model", found {found}')
    return state


def write_checkpoint(path: str, state: Any) -> None:
    """Write a checkpoint atomically (see ``atomic_file``) with a checksum (see ``seal``). Create missing folders.

    Raises:
        OutputError: writing failed, for example because the disk is full.
    """
    with atomic_file(path, needed=_size(state)) as file:
        torch.save(state, file)
        seal(file)


def write_safetensors(path: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata atomically to a safetensors file.

    Raises:
        OutputError: writing failed, for example because the disk is full.
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
    """Check the input file and the output file of a conversion, before the conversion starts.

    Args:
        source: path of the input file.
        target: path of the output file.
        overwrite: whether ``target`` may be an existing PyTorch file. If False, ``target`` must not exist.

    Raises:
        WeightsError: ``source`` is not a regular file.
        ConfigError: ``target`` does not end in .pth, is the same file as ``source``, or must not be overwritten.
    """
    check_regular_file(source)
    if not target.endswith(".pth"):
        raise ConfigError(f"output: expected a file name that ends in .pth, found {target}")
    if os.path.realpath(source) == os.path.realpath(target):
        raise ConfigError(f"output: {target} is also the input file. Choose another file name.")
    if os.path.isdir(target) or (os.path.lexists(target) and not overwrite):
        raise ConfigError(
            f"{target}: the output file already exists. Choose another name, or replace the file with --overwrite."
        )
    if os.path.lexists(target) and not (is_plain_file(target) and is_archive(target)):
        raise ConfigError(
            f"{target}: --overwrite replaces only PyTorch files, but the existing file has another format. Choose "
            "another file name."
        )


def not_finite(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of tensors that contain NaN or infinity."""
    return [name for name, value in state.items() if value.is_floating_point() and not _is_finite(value)]


def _is_finite(value: Tensor) -> bool:
    # A sum over NaN or infinity is not finite, and summing is several times faster than testing each value. Only if the
    # sum is not finite, test each value, because a sum of finite values can overflow.
    return bool(value.sum().isfinite() or value.isfinite().all())
