"""What goes into an exported model and what comes out, for each kind of model.

N detections of an image, C categories, M x M mask pixels, H x W pixels of the image.
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
# In the order of the file's outputs, which is TracingAdapter's: by name.
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
    """Name -> description of what the exported model gives."""
    task = getattr(model, "task", "detection")
    masks = task != "detection" or model.roi_heads.mask_on
    return {name: text for name, text in OUTPUTS[task].items() if masks or name != "masks"}


def predict(model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The model's own outputs, by the names of ``OUTPUTS``.

    Args:
        model: in evaluation mode.
        image: (3, H, W) uint8, channels as INPUT.FORMAT says.
        dtype: float16 and bfloat16: layers run in it by autocast; what comes out is float32 all the same.
    """
    # A weight that is cast once and kept would be another tensor in each trace.
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
    """Detectron2's wrapper, from tensors to tensors, around ``predict``: (3, H, W) uint8 -> ``OUTPUTS`` in order."""

    def __init__(self, model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32):
        super().__init__(model, (image,), lambda inner, *inputs: predict(inner, *inputs, dtype))
        self.eval()


@contextmanager
def capturing(model: nn.Module, file_format: str) -> Iterator[None]:
    """For the time of a capture: ``traceable``, without the remarks of PyTorch that ``traceable`` has answered.

    Raises:
        ConfigError: what is done meanwhile fails; with the exporter's reason.
    """
    try:
        with warnings.catch_warnings(), traceable():
            for category in (torch.jit.TracerWarning, FutureWarning, DeprecationWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    except Exception as error:  # exporters have many, of several modules
        raise ConfigError(_reason(model, file_format, error)) from error


def _reason(model: nn.Module, file_format: str, error: Exception) -> str:
    """What could not be captured, and where the exporter says it stopped."""
    names = [type(model).__name__]
    if hasattr(model, "roi_heads"):
        names.append(type(model.roi_heads).__name__)
    cause = error.__cause__ or error
    line = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return (
        f"--format {file_format}: {' with '.join(names)} cannot be captured by PyTorch {torch.__version__}: "
        f"{type(cause).__name__}: {line}"
    )
