"""TorchScript by tracing."""

import io

import torch
from torch import Tensor, nn

from seesaw_d2.export.graph import Adapter, capturing

METADATA_FILE = "metadata.json"  # inside the archive


def to_torchscript(model: nn.Module, image: Tensor, metadata: str, dtype: torch.dtype) -> bytes:
    """The archive that ``torch.jit.load`` reads, with torchvision imported, whose operators it uses.

    The trace does not depend on ``image``: other sizes and contents give what the model gives, see ``traceable``.

    Args:
        model: in evaluation mode; the file's model works on the model's device.
        image: (3, H, W) uint8.
        metadata: text for ``METADATA_FILE`` in the archive.
        dtype: what layers run in.

    Raises:
        ConfigError: the model cannot be traced.
    """
    with capturing(model, "torchscript"):
        traced = torch.jit.trace(Adapter(model, image, dtype), (image,), check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files={METADATA_FILE: metadata})
    return buffer.getvalue()
