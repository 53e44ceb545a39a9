"""Weights are data: files of weights are read without running any code that they may hold.

Formats: PyTorch's (.pth and others, with the archive since 1.6 and without), pickles (.pkl: Detectron2's model zoo,
Caffe2), safetensors.
"""

import contextlib
import json
import os
import pickle
import re
import zipfile
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.atomic_files import atomic_file
from seesaw_d2.utils.categories import ENTRY
from seesaw_d2.utils.regular_files import irregular
from seesaw_d2.utils.unpickling import STAND_INS, finish, load_plain_pickle

# Files that may run code when they are read, joined by ":" (";" on Windows). A variable and not a config key: a config
# that comes with weights must not be able to unlock them.
TRUST_VARIABLE = "SEESAW_TRUST_WEIGHTS"
SAFETENSORS = ".safetensors"


def read_weights_file(path: str) -> Any:
    """What a file of weights holds, on the CPU: tensors, arrays and plain values.

    Anything else is refused by its name, unless ``SEESAW_TRUST_WEIGHTS`` names the file.

    Returns:
        of a safetensors file ``{"model": tensors, **text}``, with its metadata as text; of others what was saved.

    Raises:
        WeightsError: it is missing, no regular file, torn, of another kind, or holds something that could run code.
    """
    check_regular_file(path)
    try:
        if path.endswith(SAFETENSORS):
            return _read_safetensors(path)
        if is_trusted(path):
            return _read_trusted(path)
        if path.endswith(".pkl"):
            with open(path, "rb") as file:
                return load_plain_pickle(file)
        return _read_torch(path)
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torn and other files: pickle and PyTorch raise many types
        raise WeightsError(_explain(path, error)) from error


def as_checkpoint(content: Any, path: str) -> dict[str, Any]:
    """What a file of weights holds, as Detectron2's checkpointer wants it: the weights below "model".

    The conventions are Detectron2's (``DetectionCheckpointer._load_file``): a pickle is of its model zoo, or else of
    Caffe2 and its names are matched; .pyth is pycls's.

    Raises:
        WeightsError: there is no mapping of names to tensors or arrays; or one of them is of a type without a tensor.
    """
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a mapping of parameters, found a {type(content).__name__}")
    if path.endswith(".pkl") and not ("model" in content and "__author__" in content):
        blobs = content.get("blobs", content)
        if isinstance(blobs, dict):
            blobs = {name: value for name, value in blobs.items() if not str(name).endswith("_momentum")}
        content = {"model": blobs, "__author__": "Caffe2", "matching_heuristics": True}
    elif path.endswith(".pyth"):
        if not isinstance(content.get("model_state"), dict):
            raise WeightsError(f'{path}: expected a pycls checkpoint, with the weights below "model_state"')
        state = {k: v for k, v in content["model_state"].items() if not str(k).endswith("num_batches_tracked")}
        content = {"model": state, "__author__": "pycls", "matching_heuristics": True}
    elif "model" not in content:
        content = {"model": content}
    if not isinstance(content["model"], dict):
        found = type(content["model"]).__name__
        raise WeightsError(f"{path}: expected a mapping of parameters, found a {found}")
    for name, value in content["model"].items():
        content["model"][name] = _as_tensor(name, value, path)
    return content


def _as_tensor(name: Any, value: Any, path: str) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        try:
            return torch.from_numpy(value)
        except TypeError as error:
            raise WeightsError(f"{path}: {name}: expected numbers, found an array of {value.dtype}") from error
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        raise WeightsError(f"{path}: {name!r}: expected a tensor or an array with a name, found {type(value).__name__}")
    return value


def check_regular_file(path: str) -> None:
    """Raise WeightsError unless ``path`` is a regular file: reading a pipe would wait for ever."""
    found = irregular(path)
    if found:
        raise WeightsError(f"{path}: expected a file of weights, found {found}")
    if not os.path.exists(path):
        raise WeightsError(f"{path}: no such file of weights")


def is_trusted(path: str) -> bool:
    """Whether ``SEESAW_TRUST_WEIGHTS`` names this file."""
    named = os.environ.get(TRUST_VARIABLE, "").split(os.pathsep)
    return os.path.realpath(path) in {os.path.realpath(name) for name in named if name}


def _read_torch(path: str) -> Any:
    _check_archive(path)
    names: list[Any] = [(stand_in, name) for name, stand_in in STAND_INS.items()]
    with torch.serialization.safe_globals(names):
        return finish(torch.load(path, map_location="cpu", weights_only=True))


def _check_archive(path: str) -> None:
    """PyTorch never compresses: an archive that unpacks to more than it is would fill the memory."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > os.path.getsize(path):
        raise WeightsError(
            f"{path}: expected PyTorch's uncompressed archive, found one of {os.path.getsize(path)} bytes that unpacks "
            f"to {unpacked}"
        )


def _read_trusted(path: str) -> Any:
    if path.endswith(".pkl"):
        with open(path, "rb") as file:
            return pickle.load(file, encoding="latin1")
    return torch.load(path, map_location="cpu", weights_only=False)


def _read_safetensors(path: str) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            model = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a safetensors file, or a torn one: {error}") from error
    if "matching_heuristics" in metadata:
        metadata["matching_heuristics"] = metadata["matching_heuristics"] == "True"
    if ENTRY in metadata:
        with contextlib.suppress(ValueError, RecursionError):  # else it stays text, which is no list of names
            metadata[ENTRY] = json.loads(metadata[ENTRY])
    return {**metadata, "model": model}


def write_safetensors(path: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and a few lines of text about them to a safetensors file, atomically.

    Tensors that share memory are written each for itself.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_file(path) as file:
        file.write(save({name: value.contiguous().clone() for name, value in tensors.items()}, metadata))


def _explain(path: str, error: Exception) -> str:
    text = str(error)
    found = re.search(r"GLOBAL (\S+?)\.?(?:\s|$)", text) or re.search(r"^holds (\w+\.[\w.]+)$", text)
    if found:
        name = found.group(1) if "." in found.group(1) else f"builtins.{found.group(1)}"  # PyTorch leaves it out
        return (
            f"{path}: expected weights and plain values, found {name}, which may run code. If you trust who "
            f"made this file, {TRUST_VARIABLE}={path} reads it all the same"
        )
    return f"{path}: expected a file of weights and plain values, found a torn or other file{_reason(text, error)}"


def _reason(text: str, error: Exception) -> str:
    """PyTorch puts its advice around it, which is to load the file without care; of a text file it knows none."""
    found = re.search(r"WeightsUnpickler error:\s*(?!Unsupported operand)(\S.*)", text)
    if found:
        return f": {found.group(1)}"
    return "" if "weights_only" in text else f": {(text.splitlines() or [type(error).__name__])[0]}"
