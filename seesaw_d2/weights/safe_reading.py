"""Read files of weights as data, without running any code that they may contain.

Formats: PyTorch (.pth and others, as a zip archive or in the format before PyTorch 1.6), pickles (.pkl of Detectron2's
model zoo and of Caffe2), safetensors.
"""

import contextlib
import json
import os
import pickle
import re
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.category_names import ENTRY
from seesaw_d2.utils.messages import shortened, shown
from seesaw_d2.utils.plain_pickles import STAND_INS, finish, load_plain_pickle
from seesaw_d2.utils.regular_files import irregular, open_regular
from seesaw_d2.weights.torch_files import check_torch_file, is_archive

# Files to read with Python's own pickle, separated by ":" (";" on Windows). It is an environment variable and not a
# config key, so that a config that is distributed with weights cannot declare them trusted.
TRUST_VARIABLE = "SEESAW_TRUST_WEIGHTS"
SAFETENSORS = ".safetensors"
# Maximum number of unknown classes in a checkpoint of another program. MMDetection saves about ten.
_MAX_IGNORED = 100


class _Ignored:
    """Placeholder for an object of an unknown class. It accepts any arguments and state, and does nothing."""

    def __new__(cls, *_: Any, **__: Any):
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def read_weights_file(path: str, *, ignore_unknown: bool = False, inspect: bool = False) -> Any:
    """Return the content of a file of weights, on the CPU: tensors, arrays and plain values.

    Args:
        path: the file. If ``SEESAW_TRUST_WEIGHTS`` names it, Python's own pickle reads it.
        ignore_unknown: True: read the file as PyTorch's whatever its extension, replace objects of unknown classes by
            placeholders instead of raising, and ignore ``SEESAW_TRUST_WEIGHTS``.
        inspect: True: check all records of the file, and leave the tensors in the file until they are used.

    Returns:
        the saved object. For a safetensors file: ``{"model": tensors, **metadata}``, with the metadata as text.

    Raises:
        WeightsError: the file is missing, not a regular file, corrupt or of another format, or it contains objects that
            could run code.
    """
    check_regular_file(path)
    try:
        if ignore_unknown:
            return _read_torch(path, ignore_unknown=True)
        if path.endswith(SAFETENSORS):
            return _read_safetensors(path)
        if is_trusted(path):
            return _read_trusted(path)
        if path.endswith(".pkl"):
            with open_regular(path, "rb") as file:
                return load_plain_pickle(file)
        return _read_torch(path, inspect=inspect)
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # for corrupt and other files, pickle and PyTorch raise many types
        raise WeightsError(_explain(path, error, may_trust=not ignore_unknown)) from error


def as_checkpoint(content: Any, path: str) -> dict[str, Any]:
    """Convert the content of a file of weights to the layout of Detectron2's checkpointer, with weights below "model".

    As in ``DetectionCheckpointer._load_file``, a .pkl file comes from Detectron2's model zoo or from Caffe2, whose
    names are matched by heuristics, and a .pyth file comes from pycls.

    Raises:
        WeightsError: there is no mapping of names to tensors or arrays, or an array has a type that tensors do not
            support.
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
    if content.get("matching_heuristics") and not content["model"]:  # Detectron2's heuristics would fail
        raise WeightsError(f"{path}: expected a mapping of parameters, found an empty one")
    for name, value in content["model"].items():
        content["model"][name] = _as_tensor(name, value, path)
    return content


def _as_tensor(name: Any, value: Any, path: str) -> torch.Tensor:
    if isinstance(value, np.ndarray):
        try:
            return torch.from_numpy(value)
        except TypeError as error:
            found = shortened(str(value.dtype))
            raise WeightsError(
                f"{path}: {shortened(str(name))}: expected numbers, found an array of {found}"
            ) from error
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        raise WeightsError(
            f"{path}: {shown(name)}: expected a tensor or an array with a name, found {type(value).__name__}"
        )
    return value


def check_regular_file(path: str) -> None:
    """Raise WeightsError unless ``path`` is a regular file. Reading a pipe may block forever."""
    found = irregular(path)
    if found:
        raise WeightsError(f"{path}: expected a file of weights, found {found}")
    if not os.path.exists(path):
        raise WeightsError(f"{path}: no such file of weights")


def is_trusted(path: str) -> bool:
    """Return whether ``SEESAW_TRUST_WEIGHTS`` names this file."""
    named = os.environ.get(TRUST_VARIABLE, "").split(os.pathsep)
    return os.path.realpath(path) in {os.path.realpath(name) for name in named if name}


def _read_torch(path: str, *, ignore_unknown: bool = False, inspect: bool = False) -> Any:
    """Read a file of ``torch.save`` with PyTorch's restricted unpickler.

    With ``ignore_unknown``, add a placeholder for each unknown class that PyTorch reports and read again.
    (``get_unsafe_globals_in_checkpoint`` would list them at once, but not for files from before PyTorch 1.6.)
    """
    check_torch_file(path, records=inspect)
    known: list[Any] = [(stand_in, name) for name, stand_in in STAND_INS.items()]
    mapped = (ignore_unknown or inspect) and is_archive(path)  # a memory-mapped file is cheap to read again
    ignored: set[str] = set()
    while True:
        try:
            with torch.serialization.safe_globals(known):
                return finish(torch.load(path, map_location="cpu", weights_only=True, mmap=mapped))
        except pickle.UnpicklingError as error:
            found = re.search(r"Unsupported global: GLOBAL (\S+) was not an allowed global", str(error))
            name = _full_name(found.group(1)) if found else ""
            if not ignore_unknown or not name or name in ignored or len(ignored) == _MAX_IGNORED:
                raise
            ignored.add(name)
            known.append((_Ignored, name))


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
        raise WeightsError(f"{path}: not a safetensors file, or a corrupt one: {shortened(str(error))}") from error
    if "matching_heuristics" in metadata:
        metadata["matching_heuristics"] = metadata["matching_heuristics"] == "True"
    if ENTRY in metadata:
        with contextlib.suppress(ValueError, RecursionError):  # on failure the text is kept and not used
            metadata[ENTRY] = json.loads(metadata[ENTRY])
    return {**metadata, "model": model}


def _full_name(name: str) -> str:
    """Return a class's name with its module. PyTorch's messages omit ``builtins``."""
    return name if "." in name else f"builtins.{name}"


def _explain(path: str, error: Exception, *, may_trust: bool) -> str:
    text = shortened(str(error), 2000)
    found = re.search(r"GLOBAL (\S+?)\.?(?:\s|$)", text) or re.search(r"^holds (\w+\.[\w.]+)$", text)
    if found:
        advice = f". If you trust the author of this file, set {TRUST_VARIABLE}={path} to read it" * may_trust
        name = _full_name(found.group(1))
        return f"{path}: expected only weights and plain values, found {name}, which could run code{advice}"
    return f"{path}: expected a file of weights, found a corrupt file or another format{_reason(text, error)}"


def _reason(text: str, error: Exception) -> str:
    """Return the reason in PyTorch's message, without its advice to load the file unsafely."""
    found = re.search(r"WeightsUnpickler error:\s*(?!Unsupported operand)(\S.*)", text)
    if found:
        return f": {shortened(found.group(1))}"
    return "" if "weights_only" in text else f": {shortened((text.splitlines() or [type(error).__name__])[0])}"
