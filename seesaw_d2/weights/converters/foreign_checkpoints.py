"""Read weights and metadata in checkpoints of other programs, which also contain optimizers and unknown objects."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from seesaw_d2.errors import WeightsError
from seesaw_d2.weights.safe_reading import read_weights_file

# Number of nesting levels of "meta" that are returned. The deepest text that a caller needs is meta -> config.
_MAX_DEPTH = 3


def read_foreign_checkpoint(path: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return weights and metadata in a checkpoint of MMDetection, mmengine, torchvision or other PyTorch programs.

    It runs no code in the file and ignores objects of unknown classes.

    Args:
        path: a file of ``torch.save`` with the weights below "state_dict", below "model" or at the top level.

    Returns:
        a dict from name to tensor on the CPU, and the plain values (text, numbers, lists, mappings) below "meta".

    Raises:
        WeightsError: the file is missing, corrupt or not a checkpoint, or it contains a function that PyTorch always
            blocks (``os.system``).
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
        raise WeightsError(f'{path}: expected parameters below "state_dict", found none')
    meta = content.get("meta") if state is not content else None
    return weights, _plain(meta, 0) if isinstance(meta, dict) else {}


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Prepend ``path`` to the message of a WeightsError raised in the block."""
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
