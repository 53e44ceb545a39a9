"""Inputs and outputs of exported models, by task.

Shapes: N detections in an image, C categories, M x M mask pixels, H x W image pixels.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.export import TracingAdapter
from torch import Tensor, nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.export.traceable import traceable

INPUT = "image"
# Sorted by name, like the outputs of TracingAdapter.
OUTPUTS = {
    "detection": {
        "boxes": "float32 (N, 4), x0, y0, x1, y1 in pixels of the input",
        "classes": "int64 (N,), indices of the classes",
        "masks": "float32 (N, M, M), probabilities of the mask inside the box",
        "scores": "float32 (N,), descending",
    },
    "classification": {"probabilities": "float32 (C,)"},
}


def outputs_of(model: nn.Module) -> dict[str, str]:
    """Return a dict from name to description of the exported model's outputs."""
    task = getattr(model, "task", "detection")
    masks = task != "detection" or model.roi_heads.mask_on
    return {name: text for name, text in OUTPUTS[task].items() if masks or name != "masks"}


def predict(model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return the model's outputs with the names in ``OUTPUTS``.

    Args:
        model: the model in evaluation mode.
        image: (3, H, W) uint8, channels in the order of INPUT.FORMAT.
        dtype: for float16 and bfloat16, layers run under autocast. Outputs are float32 in any case.
    """
    # Disable autocast's cache, with which cast weights would become constants of the trace.
    half = torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32, cache_enabled=False)
    with torch.no_grad(), half:
        if getattr(model, "task", "detection") == "classification":
            return {"probabilities": model([{"image": image}])[0]["probabilities"].float()}
        found = model.inference([{"image": image}], do_postprocess=False)[0]
    result = {"boxes": found.pred_boxes.tensor, "classes": found.pred_classes, "scores": found.scores.float()}
    if found.has("pred_masks"):
        result["masks"] = found.pred_masks[:, 0].float()
    return result


class Adapter(TracingAdapter):
    """Detectron2's TracingAdapter around ``predict``: (3, H, W) uint8 -> the tensors of ``OUTPUTS``, in order."""

    def __init__(self, model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32):
        super().__init__(model, (image,), lambda inner, *inputs: predict(inner, *inputs, dtype))
        self.eval()


@contextmanager
def capturing(model: nn.Module, file_format: str) -> Iterator[None]:
    """Apply ``traceable`` in the block, and ignore PyTorch's warnings about tracing.

    Raises:
        ConfigError: an exporter raised an error in the block. The message contains its reason.
    """
    try:
        with warnings.catch_warnings(), traceable():
            for category in (torch.jit.TracerWarning, FutureWarning, DeprecationWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    except Exception as error:  # exporters raise many types
        raise ConfigError(_reason(model, file_format, error)) from error


def _reason(model: nn.Module, file_format: str, error: Exception) -> str:
    """Return a message with the model and the first line of the exporter's error."""
    names = [type(model).__name__]
    if hasattr(model, "roi_heads"):
        names.append(type(model.roi_heads).__name__)
    cause = error.__cause__ or error
    line = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return (
        f"--format {file_format}: {' with '.join(names)} cannot be captured by PyTorch {torch.__version__}: "
        f"{type(cause).__name__}: {line}"
    )
