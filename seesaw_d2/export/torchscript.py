"""Export to TorchScript by tracing."""

import io

import torch
from torch import Tensor, nn

from seesaw_d2.export.graph import Adapter, capturing

METADATA_FILE = "metadata.json"  # inside the archive


def to_torchscript(model: nn.Module, image: Tensor, metadata: str, dtype: torch.dtype) -> bytes:
    """Return an archive for ``torch.jit.load``, which needs torchvision's operators to be imported.

    The traced model works for images of other sizes and contents than ``image``, see ``traceable``.

    Args:
        model: the model in evaluation mode. The exported model runs on the same device.
        image: (3, H, W) uint8.
        metadata: text for ``METADATA_FILE`` in the archive.
        dtype: data type of layers, see ``predict``.

    Raises:
        ConfigError: the model cannot be traced.
    """
    with capturing(model, "torchscript"):
        traced = torch.jit.trace(Adapter(model, image, dtype), (image,), check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files={METADATA_FILE: metadata})
    return buffer.getvalue()
