"""Export models to TorchScript by tracing."""

import io

import torch
from torch import Tensor, nn

from seesaw_d2.export.graph import Adapter, capturing

METADATA_FILE = "metadata.json"  # name of the file in the TorchScript archive


def to_torchscript(model: nn.Module, image: Tensor, metadata: str, dtype: torch.dtype) -> bytes:
    """Return the content of a TorchScript file with the model and its weights.

    Import torchvision before you load the file with ``torch.jit.load``. An exported detector accepts images of any
    size, because ``traceable`` replaces the functions that depend on the size of the example.

    Args:
        model: the model in evaluation mode. The exported model runs on the same device.
        image: uint8 (3, H, W), example input.
        metadata: text to store as ``METADATA_FILE`` in the archive.
        dtype: dtype of the layers. See ``predict``.

    Raises:
        ConfigError: the model cannot be traced.
    """
    with capturing(model, "torchscript"):
        traced = torch.jit.trace(Adapter(model, image, dtype), (image,), check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files={METADATA_FILE: metadata})
    return buffer.getvalue()
