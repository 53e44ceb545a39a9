"""Export models to TorchScript by tracing."""

import io

import torch
from torch import Tensor, nn

from seesaw_d2.export.graph import Adapter, capturing

METADATA_FILE = "metadata.json"  # file inside the TorchScript archive that stores the metadata


def to_torchscript(model: nn.Module, image: Tensor, metadata: str, dtype: torch.dtype) -> bytes:
    """Return the content of a TorchScript file with the model and its weights.

    Import torchvision before you load the file with ``torch.jit.load``. An exported detector accepts images of any
    size, because ``traceable`` replaces the functions that depend on the size of the example. An exported classifier
    accepts only images of the same size as ``image``.

    Args:
        model: the model in evaluation mode. The exported model runs on the same device.
        image: example input, uint8 with 3 channels, height and width.
        metadata: text to store as the file ``METADATA_FILE`` in the TorchScript archive.
        dtype: dtype of the layers. With float16 or bfloat16, the exported model runs under autocast.

    Raises:
        ConfigError: the model cannot be traced.
    """
    size = [] if getattr(model, "task", "detection") == "detection" else list(image.shape[1:])
    with capturing(model, "torchscript"):
        traced = torch.jit.trace(_Checked(Adapter(model, image, dtype), size), (image,), check_trace=False)
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer, _extra_files={METADATA_FILE: metadata})
    return buffer.getvalue()


class _Checked(nn.Module):
    """Model that checks its input image before it runs. Without this check, wrong inputs would give wrong outputs.

    For example, broadcasting would accept an image with one channel.

    Args:
        model: the model to run.
        size: [height, width] of valid images, or [] for images of any size.
    """

    def __init__(self, model: nn.Module, size: list[int]):
        super().__init__()
        self.model, self.size = model, size

    def forward(self, image: Tensor):
        return self.model(_checked_image(image, self.size))


@torch.jit.script_if_tracing
def _checked_image(image: Tensor, size: list[int]) -> Tensor:
    """Return ``image`` unchanged. Raise ValueError if it is not a uint8 tensor (3, height, width) of the right size.

    Args:
        image: the image.
        size: the right [height, width], or [] for any size.
    """
    shape = str([3, size[0], size[1]]) if len(size) > 0 else "[3, H, W]"
    if image.dtype != torch.uint8:
        raise ValueError("image: expected dtype uint8, values from 0 to 255, found another dtype")
    if image.dim() != 3 or image.size(0) != 3 or image.numel() == 0 or (len(size) > 0 and image.size()[1:] != size):
        raise ValueError(f"image: expected shape {shape}, found shape {image.size()}")
    return image
