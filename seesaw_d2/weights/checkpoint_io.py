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
from seesaw_d2.weights.tensor_checks import as_tensor
from seesaw_d2.weights.torch_files import is_archive, seal


def read_checkpoint(path: str, *, inspect: bool = False) -> dict[str, Any]:
    """Load a checkpoint of Detectron2 or of this project to the CPU, without running code in the file.

    Args:
        path: path of the checkpoint.
        inspect: whether to verify the checksums of all tensors, and to memory-map the tensors instead of copying them
            to memory. True is for callers that check a file or need only small parts of it.

    Returns:
        the checkpoint, a dict of tensors and plain values. The key "model" contains the weights, a dict from name to
        tensor. This function accepts other values in this dict.

    Raises:
        WeightsError: the file is unreadable, corrupt or not a checkpoint, or ``as_tensor`` rejects a tensor.
    """
    state = read_weights_file(path, inspect=inspect)
    if not isinstance(state, dict):
        raise WeightsError(f'{path}: expected a dict with the key "model", found {shown(state)}')
    if not isinstance(state.get("model"), dict):
        keys = [key for key in state if isinstance(key, str)]
        found = shown(state["model"]) if "model" in state else f"only the keys {first_few(keys)}"
        raise WeightsError(f'{path}: expected a dict of weights below the key "model", found {found}')
    for name, value in state["model"].items():
        if isinstance(value, Tensor) or not isinstance(name, str):
            as_tensor(name, value, path)
    return state


def write_checkpoint(path: str, state: Any) -> None:
    """Write a checkpoint with ``torch.save``, and add a checksum of the file's headers (see ``seal``).

    The write is atomic: if it fails, an existing file at ``path`` does not change. Missing folders are created.

    Args:
        path: path of the .pth file.
        state: the checkpoint, such as {"model": state_dict}.

    Raises:
        OutputError: writing failed, for example because the disk is full.
    """
    with atomic_file(path, needed=_size(state)) as file:
        torch.save(state, file)
        seal(file)


def write_safetensors(path: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors to a safetensors file. If writing fails, an existing file at ``path`` does not change.

    Args:
        path: path of the .safetensors file.
        tensors: dict from name to tensor.
        metadata: dict of texts that the file contains in addition to the tensors.

    Raises:
        OutputError: writing failed, for example because the disk is full.
    """
    with atomic_file(path) as file:
        file.write(save({name: value.contiguous().clone() for name, value in tensors.items()}, metadata))


def _size(value: Any) -> int:
    """Return the total size in bytes of the tensors in a checkpoint, which contains nested dicts and lists."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(_size(each) for each in value.values())
    if isinstance(value, list | tuple):
        return sum(_size(each) for each in value)
    return 0


def check_output(source: str, target: str, *, overwrite: bool) -> None:
    """Check the paths of the input file and the output file of a conversion, before the conversion starts.

    Args:
        source: path of the input file.
        target: path of the output file.
        overwrite: whether an existing ``target`` may be replaced if it is a PyTorch file. If False, ``target`` must not
            exist.

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
    """Return the names of the floating-point tensors in a state dict that contain NaN or infinity."""
    return [name for name, value in state.items() if value.is_floating_point() and not _is_finite(value)]


def _is_finite(value: Tensor) -> bool:
    value = value.float() if value.element_size() == 1 else value  # PyTorch has no sums of 8-bit floats
    # Summing is several times faster than testing each value. A finite sum proves that all values are finite. If the
    # sum is not finite, test each value, because a sum of finite values can overflow.
    return bool(value.sum().isfinite() or value.isfinite().all())
