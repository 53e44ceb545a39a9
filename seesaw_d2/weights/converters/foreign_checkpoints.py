"""Read weights and metadata from checkpoints of MMDetection, torchvision and similar programs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.messages import shown
from seesaw_d2.weights.safe_reading import read_weights_file
from seesaw_d2.weights.tensor_checks import as_tensor, check_real

# Largest number of nested lists and dicts in the metadata of a checkpoint. Deeper lists and dicts become None. Callers
# need at most three levels, for meta["dataset_meta"]["classes"].
_MAX_DEPTH = 3


def read_foreign_checkpoint(path: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the weights and the metadata of a checkpoint of MMDetection, mmengine, torchvision or a similar program.

    This function runs no code in the file and ignores objects of classes that PyTorch cannot load safely.

    Args:
        path: path of a file of ``torch.save``. The weights are the value of the key "state_dict" or "model", or the
            whole content of the file.

    Returns:
        a pair: the weights, a dict from name to tensor on the CPU, and the metadata, a dict of plain values (strings,
        numbers, lists, dicts). The metadata is the value of the key "meta", or {} if the file has no such key.

    Raises:
        WeightsError: the file is missing, corrupt or not a checkpoint, a weight is not a dense tensor of real numbers,
            or the file refers to a function that PyTorch always blocks, such as ``os.system``.
    """
    content = read_weights_file(path, ignore_unknown=True)
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a dict of parameters, found {shown(content)}")
    state = content
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            state = content[key]
            break
    weights = {name: as_tensor(name, value, path) for name, value in state.items() if isinstance(value, torch.Tensor)}
    for name, value in weights.items():
        check_real(name, value, path)
    if not weights:
        raise WeightsError(
            f'{path}: expected parameters below "state_dict", below "model" or at the top level, found no parameters'
        )
    meta = content.get("meta") if state is not content else None
    return weights, _plain(meta, 0) if isinstance(meta, dict) else {}


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Context manager that prepends ``path`` to the message of a WeightsError raised in its block."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _plain(value: Any, depth: int) -> Any:
    """Copy the plain values in a checkpoint's metadata. Replace objects of other types by None.

    Args:
        value: the metadata, or a value inside it.
        depth: number of lists and dicts around ``value``. A list or dict at depth ``_MAX_DEPTH`` becomes None.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items() if isinstance(key, str)}
    if depth < _MAX_DEPTH and isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return None
