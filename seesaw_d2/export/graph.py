"""Define the inputs and outputs of exported models, and capture a model as a graph."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.export import TracingAdapter
from torch import Tensor, nn

from seesaw_d2.errors import ConfigError
from seesaw_d2.export.traceable import traceable

INPUT = "image"
# For each task, maps the outputs of an exported model to descriptions. The names are sorted, because TracingAdapter
# sorts the outputs by name. N is the number of detections in the image, M is the side length of a mask in pixels, and C
# is the number of classes.
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
    """Return the outputs that an exported model has, as a dict from name to description.

    For example, only a model with a mask head has the output "masks". ``model`` is the original model.
    """
    task = getattr(model, "task", "detection")
    masks = task != "detection" or model.roi_heads.mask_on
    return {name: text for name, text in OUTPUTS[task].items() if masks or name != "masks"}


def predict(model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Run the original model on an image. Return a dict with the outputs that the exported model will have.

    A detector returns "boxes", "classes", "scores" and, with a mask head, "masks". An image classifier returns
    "probabilities".

    Args:
        model: the model in evaluation mode.
        image: uint8 (3, height, width), channels in the order of INPUT.FORMAT.
        dtype: dtype of the layers. With float16 and bfloat16, the model runs under autocast. Floating-point outputs are
            always float32.
    """
    # Disable autocast's cache of converted weights, because tracing would record the cached weights as constants.
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
    """Module that maps an image tensor to a tuple of output tensors, as the exporters require.

    The outputs are those of ``predict``, such as boxes, classes, masks and scores, sorted by name.

    Args:
        model: the model in evaluation mode.
        image: example input, uint8 (3, height, width).
        dtype: dtype of the layers.
    """

    def __init__(self, model: nn.Module, image: Tensor, dtype: torch.dtype = torch.float32):
        super().__init__(model, (image,), lambda inner, *inputs: predict(inner, *inputs, dtype))
        self.eval()


@contextmanager
def capturing(model: nn.Module, file_format: str) -> Iterator[None]:
    """Return a context manager in which PyTorch can capture a model as a graph.

    The context manager replaces the functions of Detectron2 that cannot be captured (see ``traceable``), and suppresses
    PyTorch's warnings about tracing.

    Args:
        model: the model, for the error message.
        file_format: "torchscript" or "onnx", for the error message.

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
    """Return an error message with the class names of the model and its ROI heads, and the exporter's error.

    Of the exporter's message, only the first line is used. ``file_format`` is "torchscript" or "onnx".
    """
    names = [type(model).__name__]
    if hasattr(model, "roi_heads"):
        names.append(type(model.roi_heads).__name__)
    cause = error.__cause__ or error
    line = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return (
        f"--format {file_format}: PyTorch {torch.__version__} cannot export {' with '.join(names)}: "
        f"{type(cause).__name__}: {line}"
    )
