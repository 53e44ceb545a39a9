"""Convert weights between the .pth and the safetensors format, for ``tools/convert_weights.py``."""

import json
import os
from typing import Any

from seesaw_d2.errors import ConfigError
from seesaw_d2.utils.category_names import ENTRY
from seesaw_d2.weights.checkpoint_io import write_checkpoint, write_safetensors
from seesaw_d2.weights.file_checks import download
from seesaw_d2.weights.safe_reading import (
    SAFETENSORS,
    as_checkpoint,
    check_regular_file,
    read_weights_file,
)

# Entries that a converted file keeps in addition to the weights. The first two select how Detectron2 matches parameter
# names. The value of ENTRY is the list of class names.
_KEPT = ("__author__", "matching_heuristics", ENTRY)


def convert_weights(source: str, target: str) -> tuple[int, list[str]]:
    """Convert the weights in a file to another file format.

    Args:
        source: path of a file that ``read_weights_file`` supports.
        target: path of a new file that ends in .safetensors or .pth.

    Returns:
        the number of written tensors, and the names of the entries that were not converted, such as the optimizer.

    Raises:
        ConfigError: ``target`` already exists or has another extension.
        WeightsError: ``source`` is unreadable or not a weights file.
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
    kept = {key: content[key] for key in _KEPT if key in content}
    if target.endswith(SAFETENSORS):
        write_safetensors(target, model, {key: _text(value) for key, value in kept.items()})
    else:
        write_checkpoint(target, {"model": dict(model), **kept})
    return len(model), sorted(str(key) for key in content.keys() - kept.keys())


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (list, tuple)) else str(value)
