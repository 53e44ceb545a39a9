"""Reading and writing checkpoints outside of a training."""

import os
from typing import Any

import torch

from seesaw_d2.errors import WeightsError


def read_checkpoint(path: str) -> dict[str, Any]:
    """A checkpoint of Detectron2 or of this project, on the CPU; its weights are below the key "model".

    Only plain values and tensors are loaded: no code in the file is run.

    Raises:
        WeightsError: it cannot be read, is torn or something else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # torn or other files: PyTorch raises many types
        raise WeightsError(f"{path}: expected a PyTorch checkpoint, found a torn or other file") from error
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise WeightsError(f'{path}: expected a checkpoint with the weights below "model"')
    return state


def write_checkpoint(path: str, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically: under another name, then renamed; the folder is made if it is not there."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        torch.save(state, path + ".tmp")
        os.replace(path + ".tmp", path)
    except BaseException:
        if os.path.exists(path + ".tmp"):
            os.remove(path + ".tmp")
        raise
