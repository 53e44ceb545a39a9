"""Read weights and metadata from checkpoints of other programs, which may also contain objects of unknown classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.weights.safe_reading import read_weights_file

# Maximum nesting depth of the values returned from "meta". Callers need at most meta -> config -> text.
_MAX_DEPTH = 3


def read_foreign_checkpoint(path: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the weights and the metadata of a checkpoint of MMDetection, mmengine, torchvision or a similar program.

    This function runs no code in the file and ignores objects of unknown classes.

    Args:
        path: path of a file of ``torch.save`` with the weights below "state_dict", below "model" or at the top level.

    Returns:
        a dict from name to tensor on the CPU, and the plain values (text, numbers, lists, dicts) below "meta".

    Raises:
        WeightsError: the file is missing, corrupt or not a checkpoint, or it refers to a function that PyTorch always
            blocks, such as ``os.system``.
    """
    content = read_weights_file(path, ignore_unknown=True)
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a checkpoint, found a {type(content).__name__}")
    state = content
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            state = content[key]
            break
    weights = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not weights:
        raise WeightsError(f'{path}: no parameters below "state_dict", below "model" or at the top level')
    meta = content.get("meta") if state is not content else None
    return weights, _plain(meta, 0) if isinstance(meta, dict) else {}


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Prepend ``path`` to the message of each WeightsError that the body of the ``with`` statement raises."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items() if isinstance(key, str)}
    if depth < _MAX_DEPTH and isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return None
