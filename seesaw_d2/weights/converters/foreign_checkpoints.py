"""The weights in other programs' checkpoints, which hold more: logs, optimizers, objects of classes that are not here.

Nothing that a file names is imported or called. PyTorch's restricted unpickler reads it, and what it does not know gets
a stand-in that takes whatever it is given and does nothing. What is returned are tensors and plain values alone.
"""

import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from seesaw_d2.errors import WeightsError

# A training of MMDetection leaves some ten; a file with more is not one.
_MAX_UNKNOWN = 100
# Every text that a caller looks for is at most this deep: meta -> config.
_MAX_DEPTH = 3


class _Ignored:
    """Stands for anything that is neither a tensor nor a plain value."""

    def __new__(cls, *_: Any, **__: Any):
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def read_foreign_checkpoint(path: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The weights of a checkpoint of MMDetection, mmengine, torchvision or other PyTorch programs, and its notes.

    Args:
        path: a file of ``torch.save``; the weights are below "state_dict" or "model", or are all that it holds.

    Returns:
        name -> tensor on the CPU; and plain values (text, numbers, in lists and mappings) of what is below "meta".

    Raises:
        WeightsError: it is missing, torn, of another kind, or names what must not be read even so (``os.system``).
    """
    if not os.path.isfile(path):
        raise WeightsError(f"{path}: no such file")
    content = _load(path)
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
    """What is wrong with the weights that are converted in the block is said of their file."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error


def _load(path: str) -> Any:
    known: list[tuple[type, str]] = []
    # Storages of the newer format are not read until they are used, so that a second attempt costs little.
    mapped = zipfile.is_zipfile(path)
    while True:
        try:
            with torch.serialization.safe_globals(known):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        except OSError as error:
            raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
        except Exception as error:  # torn or other files: PyTorch raises many types
            name = _unknown_name(str(error))
            if name is None or len(known) >= _MAX_UNKNOWN or (_Ignored, name) in known:
                raise WeightsError(f"{path}: expected a PyTorch checkpoint{_reason(error)}") from error
            known.append((_Ignored, name))


def _unknown_name(message: str) -> str | None:
    """What PyTorch says that it does not know, with its module."""
    found = re.search(r"Unsupported global: GLOBAL (\S+) was not an allowed global", message)
    if not found:
        return None
    return found.group(1) if "." in found.group(1) else f"builtins.{found.group(1)}"  # PyTorch leaves it out


def _reason(error: Exception) -> str:
    # PyTorch puts advice around the reason, which is to load the file without care.
    found = re.search(r"(?:WeightsUnpickler error: |\n)(Trying to load .+|Unsupported (?!operand).+)", str(error))
    return f": {found.group(1)}" if found else f", found a torn or other file ({type(error).__name__})"


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items() if isinstance(key, str)}
    if depth < _MAX_DEPTH and isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return None
