"""Define the inputs and outputs of exported models, and capture a model as a graph.

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
# Name and description of each output, for each task. The names are sorted, like the outputs of TracingAdapter.
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
    """Return the outputs of an exported ``model``, as a dict from name to description."""
    task = getattr(model, "task", "detection")
    masks = task != "detection" or model.roi_heads.mask_on
    return {name: text for name, text in OUTPUTS[task].items() if masks or name != "masks"}


def predict(model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Run the model on an image. Return the outputs with the names in ``OUTPUTS``.

    Args:
        model: the model in evaluation mode.
        image: uint8 (3, H, W), channels in the order of INPUT.FORMAT.
        dtype: dtype of the layers. With float16 and bfloat16, the model runs under autocast. Floating-point outputs are
            always float32.
    """
    # Disable the weight cache of autocast, because tracing would record cached weights as constants.
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
    """Map an image, uint8 (3, H, W), to a tuple of the tensors in ``OUTPUTS``, as returned by ``predict``."""

    def __init__(self, model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32):
        super().__init__(model, (image,), lambda inner, *inputs: predict(inner, *inputs, dtype))
        self.eval()


@contextmanager
def capturing(model: nn.Module, file_format: str) -> Iterator[None]:
    """Return a context manager that applies ``traceable`` and suppresses PyTorch's warnings about tracing.

    Raises:
        ConfigError: the exporter raised an error. The message contains the first line of the exporter's message.
    """
    try:
        with warnings.catch_warnings(), traceable():
            for category in (torch.jit.TracerWarning, FutureWarning, DeprecationWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    except Exception as error:  # exporters raise errors of many types
        raise ConfigError(_reason(model, file_format, error)) from error


def _reason(model: nn.Module, file_format: str, error: Exception) -> str:
    """Return an error message with the names of the model's classes and the first line of the exporter's error."""
    names = [type(model).__name__]
    if hasattr(model, "roi_heads"):
        names.append(type(model.roi_heads).__name__)
    cause = error.__cause__ or error
    line = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return (
        f"--format {file_format}: PyTorch {torch.__version__} cannot export {' with '.join(names)}: "
        f"{type(cause).__name__}: {line}"
    )
