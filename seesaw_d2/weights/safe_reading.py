"""Read weights files without running code that they may contain.

Supported formats: files of ``torch.save`` (any extension, also the format before PyTorch 1.6), pickles (.pkl of
Detectron2's model zoo and of Caffe2) and safetensors.
"""

import contextlib
import json
import os
import pickle
import re
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from seesaw_d2.errors import WeightsError
from seesaw_d2.utils.category_names import ENTRY
from seesaw_d2.utils.messages import shortened, shown
from seesaw_d2.utils.plain_pickles import STAND_INS, finish, load_plain_pickle
from seesaw_d2.utils.regular_files import irregular, open_regular
from seesaw_d2.weights.tensor_checks import as_tensor
from seesaw_d2.weights.torch_files import check_torch_file, is_archive

# Environment variable in which the user lists the paths of trusted files, separated by ":" (";" on Windows). Python's
# pickle reads these files and may run code in them. A config key would be unsafe, because a downloaded config could
# declare the weights that come with it trusted.
TRUST_VARIABLE = "SEESAW_TRUST_WEIGHTS"
SAFETENSORS = ".safetensors"
SCORE_SETTINGS = "score_settings"  # checkpoint key of the settings that change scores, such as the temperature
# Largest number of unknown classes in a checkpoint of another program. For each such class, the file is read once more,
# so the limit bounds the reading time. Checkpoints of MMDetection contain objects of about ten unknown classes.
_MAX_IGNORED = 100


class _Ignored:
    """Object that replaces an object of an unknown class in a checkpoint.

    It accepts and ignores everything that unpickling does to an object: constructor arguments, states and items.
    """

    def __new__(cls, *_: Any, **__: Any):
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def read_weights_file(path: str, *, ignore_unknown: bool = False, inspect: bool = False) -> Any:
    """Read the tensors, arrays and plain values in a weights file to the CPU, without running code in the file.

    Args:
        path: path of the file. If the environment variable SEESAW_TRUST_WEIGHTS contains the path, Python's own pickle
            reads the file and may run code in it.
        ignore_unknown: whether to replace objects of unknown classes by placeholders. If True, the function reads the
            file as a file of ``torch.save`` regardless of its extension, and ignores SEESAW_TRUST_WEIGHTS. If False, an
            object of an unknown class is an error.
        inspect: whether to verify the checksums of all tensors, and to memory-map the tensors instead of copying them
            to memory. Only files of ``torch.save`` support this argument.

    Returns:
        the saved object, usually a dict. A safetensors file gives ``{"model": {name: tensor}, **metadata}``. The values
        of the metadata are strings, except "matching_heuristics" (bool) and the class names (a list).

    Raises:
        WeightsError: the file is missing, corrupt, not a regular file or of an unsupported format, or it contains
            objects that could run code.
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
        raise WeightsError(f"{path}: cannot read the file: {error.strerror or error}") from error
    except Exception as error:  # pickle and PyTorch raise many types of exceptions for corrupt files
        raise WeightsError(_explain(path, error, may_trust=not ignore_unknown)) from error


def as_checkpoint(content: Any, path: str) -> dict[str, Any]:
    """Convert the content of a weights file to the layout of Detectron2's checkpoints, {"model": {name: tensor}, ...}.

    As in ``DetectionCheckpointer._load_file``, the extension of the file shows its origin. A .pkl file comes from
    Detectron2's model zoo or from Caffe2, and a .pyth file comes from pycls. For Caffe2 and pycls, the result contains
    the key "matching_heuristics", so that Detectron2 matches the parameter names by heuristics.

    Args:
        content: the object in the weights file, from ``read_weights_file``.
        path: path of the file, for its extension and for error messages.

    Raises:
        WeightsError: the content has no dict from names to tensors or arrays, or ``as_tensor`` rejects one of them.
    """
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a dict of parameters, found {shown(content)}")
    if path.endswith(".pkl") and not ("model" in content and "__author__" in content):
        blobs = content.get("blobs", content)
        if isinstance(blobs, dict):
            blobs = {name: value for name, value in blobs.items() if not str(name).endswith("_momentum")}
        content = {"model": blobs, "__author__": "Caffe2", "matching_heuristics": True}
    elif path.endswith(".pyth"):
        if not isinstance(content.get("model_state"), dict):
            found = shown(content["model_state"]) if "model_state" in content else "no such key"
            raise WeightsError(
                f'{path}: expected a dict below the key "model_state", found {found}. The extension .pyth is reserved '
                "for checkpoints of pycls."
            )
        state = {k: v for k, v in content["model_state"].items() if not str(k).endswith("num_batches_tracked")}
        content = {"model": state, "__author__": "pycls", "matching_heuristics": True}
    elif "model" not in content:
        content = {"model": content}
    if not isinstance(content["model"], dict):
        raise WeightsError(f"{path}: expected a dict of parameters, found {shown(content['model'])}")
    if content.get("matching_heuristics") and not content["model"]:  # Detectron2's heuristics fail for an empty dict
        raise WeightsError(f"{path}: expected a dict of parameters, found an empty dict")
    for name, value in content["model"].items():
        content["model"][name] = as_tensor(name, value, path)
    return content


def check_regular_file(path: str) -> None:
    """Raise WeightsError if a file is missing or not a regular file. Reading a pipe, for example, may block forever."""
    found = irregular(path)
    if found:
        raise WeightsError(f"{path}: expected a weights file, found {found}")
    if not os.path.exists(path):
        raise WeightsError(f"{path}: the weights file does not exist")


def is_trusted(path: str) -> bool:
    """Return True if the environment variable SEESAW_TRUST_WEIGHTS contains the path of a file. Links are resolved."""
    named = os.environ.get(TRUST_VARIABLE, "").split(os.pathsep)
    return os.path.realpath(path) in {os.path.realpath(name) for name in named if name}


def _read_torch(path: str, *, ignore_unknown: bool = False, inspect: bool = False) -> Any:
    """Return the content of a file of ``torch.save``, read with PyTorch's restricted unpickler (``weights_only=True``).

    PyTorch reports only the first unknown class. With ``ignore_unknown``, this function adds a placeholder for this
    class and reads the file again, until PyTorch reports no unknown class. (PyTorch's
    ``get_unsafe_globals_in_checkpoint`` lists all classes at once, but does not support the format before PyTorch 1.6.)

    Args:
        path: path of the file.
        ignore_unknown: whether to replace objects of unknown classes by placeholders. If False, they are an error.
        inspect: whether to verify the checksums of all tensors and to memory-map the tensors.
    """
    check_torch_file(path, records=inspect)
    known: list[Any] = [(stand_in, name) for name, stand_in in STAND_INS.items()]
    # Memory-map the file, so that reading it several times is cheap. PyTorch can memory-map only archives.
    mapped = (ignore_unknown or inspect) and is_archive(path)
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
        raise WeightsError(f"{path}: cannot read this file as safetensors: {shortened(str(error))}") from error
    if "matching_heuristics" in metadata:
        metadata["matching_heuristics"] = metadata["matching_heuristics"] == "True"
    for key in {ENTRY, SCORE_SETTINGS} & metadata.keys():
        with contextlib.suppress(ValueError, RecursionError):  # if invalid, keep the text. Later checks report it
            metadata[key] = json.loads(metadata[key])
    return {**metadata, "model": model}


def _full_name(name: str) -> str:
    """Return the name of a class with its module: "builtins.set" for "set", because PyTorch omits ``builtins``."""
    return name if "." in name else f"builtins.{name}"


def _explain(path: str, error: Exception, *, may_trust: bool) -> str:
    text = shortened(str(error), 2000)
    found = re.search(r"GLOBAL (\S+?)\.?(?:\s|$)", text) or re.search(r"plain values, found (\w+\.[\w.]+)$", text)
    if found:
        trust = f" If you trust the author of this file, set the environment variable {TRUST_VARIABLE}={path}."
        name = _full_name(found.group(1))
        return (
            f"{path}: expected only tensors and plain values, found a reference to {name}, which could run "
            f"code.{trust * may_trust}"
        )
    return f"{path}: the file is corrupt or is not a weights file{_reason(text, error)}"


def _reason(text: str, error: Exception) -> str:
    """Extract the reason from PyTorch's error message, as ": reason", or "" if the message contains no reason.

    The result does not contain PyTorch's unsafe advice to load the file with ``weights_only=False``.

    Args:
        text: message of the error.
        error: the error. If the message is empty, the result is the name of its type.
    """
    found = re.search(r"WeightsUnpickler error:\s*(?!Unsupported operand)(\S.*)", text)
    if found:
        return f": {shortened(found.group(1))}"
    return "" if "weights_only" in text else f": {shortened((text.splitlines() or [type(error).__name__])[0])}"
