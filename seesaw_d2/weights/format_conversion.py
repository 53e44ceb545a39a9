"""Convert weights between the .pth and the safetensors format, for ``tools/convert_weights.py``."""

import json
import os
from typing import Any

import torch
from torch import Tensor

from seesaw_d2.errors import ConfigError, WeightsError
from seesaw_d2.utils.category_names import ENTRY
from seesaw_d2.utils.messages import shortened, shown
from seesaw_d2.utils.plain_values import encodable
from seesaw_d2.weights.checkpoint_io import write_checkpoint, write_safetensors
from seesaw_d2.weights.file_checks import download
from seesaw_d2.weights.safe_reading import (
    SAFETENSORS,
    SCORE_SETTINGS,
    as_checkpoint,
    check_regular_file,
    read_weights_file,
)
from seesaw_d2.weights.tensor_checks import described, is_dense

# Keys of a checkpoint that a converted or edited file keeps in addition to the weights. Detectron2 needs the first two
# to match parameter names of other projects. The value of ENTRY is the list of class names. The value of SCORE_SETTINGS
# is a dict of settings that change the scores, such as the temperature of the classifier.
KEPT = ("__author__", "matching_heuristics", ENTRY, SCORE_SETTINGS)


def convert_weights(source: str, target: str) -> tuple[int, list[str]]:
    """Convert a weights file to the safetensors format or to the .pth format of ``torch.save``.

    Args:
        source: path or address of a .pth, .pkl or .safetensors file.
        target: path of the new file, which ends in .safetensors or .pth.

    Returns:
        the number of written tensors, and the keys of ``source`` that were not converted, such as "optimizer".

    Raises:
        ConfigError: ``target`` already exists or has another extension.
        WeightsError: ``source`` is unreadable or not a weights file, or ``target`` cannot contain one of its tensors.
    """
    if not target.endswith((SAFETENSORS, ".pth")):
        raise ConfigError(f"output: expected a file name that ends in {SAFETENSORS} or .pth, found {target}")
    if "://" not in source:
        check_regular_file(source)
    if os.path.lexists(target):
        raise ConfigError(f"{target}: the output file already exists. Choose another name.")
    path = download(source) if "://" in source else source
    content = as_checkpoint(read_weights_file(path), path)
    model = content.pop("model")
    if not model:
        raise WeightsError(f"{path}: expected a dict of parameters, found an empty dict")
    kept = {key: content[key] for key in KEPT if key in content}
    if target.endswith(SAFETENSORS):
        _check_supported(model, path)
        write_safetensors(target, model, {key: _text(key, value, path) for key, value in kept.items()})
    else:
        write_checkpoint(target, {"model": dict(model), **kept})
    return len(model), sorted(str(key) for key in content.keys() - kept.keys())


def _check_supported(model: dict[str, Tensor], path: str) -> None:
    for name, value in model.items():
        if name == "__metadata__" or not encodable(name):
            raise WeightsError(
                f"{path}: expected parameter names that safetensors supports, found {shown(name)}. Write a .pth file "
                "instead"
            )
        if not is_dense(value) or value.dtype in (torch.complex32, torch.complex128):
            raise WeightsError(
                f"{path}: {shortened(name)}: expected a dense tensor of a data type that safetensors supports, found "
                f"{described(value)}. Write a .pth file instead"
            )


def _text(key: str, value: Any, path: str) -> str:
    """Return an entry of a checkpoint as the text that a safetensors file contains.

    ``key`` and ``path`` are the key of the entry and the path of the checkpoint, for the error message.
    """
    try:
        text = json.dumps(value) if isinstance(value, (list, tuple, dict)) else str(value)
    except (TypeError, ValueError, RecursionError):  # tensors, or a container that contains itself
        text = "\udcff"
    if not encodable(text):
        raise WeightsError(f"{path}: {key}: expected plain values, found {shown(value)}. Write a .pth file instead")
    return text
