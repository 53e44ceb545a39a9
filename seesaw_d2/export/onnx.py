"""Export models to ONNX.

``torch.onnx.export(dynamo=True)`` captures a model with torch.export. torch.export does not support Python branches
that depend on the number of boxes. Detectron2's Mask R-CNN has branches of this kind. ``traceable`` replaces the
functions that contain these branches.
"""

import contextlib
import io
import logging

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seesaw_d2.export.graph import INPUT, Adapter, capturing, outputs_of
from seesaw_d2.export.onnx_half import layers_in_half
from seesaw_d2.export.onnx_requirements import need

METADATA_KEY = "seesaw_d2"
OPSET = 18  # version of ONNX's operators. RoIAlign with aligned=True needs >= 16


def to_onnx(model: nn.Module, image: Tensor, metadata: str, *, half: bool = False) -> bytes:
    """Return the content of an ONNX file with the model and its weights.

    An exported detector accepts images of any size. An exported classifier accepts only images of the same size as
    ``image``.

    Args:
        model: the model, on the CPU, in evaluation mode.
        image: example input, uint8 with 3 channels, height and width. The exported model does not depend on its pixel
            values.
        metadata: text to store in the file under the metadata key ``METADATA_KEY``.
        half: if True, convolutions and linear layers with stored weights run in float16. If False, in float32.

    Raises:
        ConfigError: onnx or onnxscript is not installed, or the exporter cannot capture the model.
    """
    proto = captured(model, image)
    if half:
        layers_in_half(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata
    return proto.SerializeToString()


def captured(model: nn.Module, image: Tensor):
    """Return an ``onnx.ModelProto`` of the model in float32, with its weights.

    Args:
        model, image: as in ``to_onnx``.

    Raises:
        ConfigError: as in ``to_onnx``.
    """
    need("onnx", "onnxscript")
    classifier = getattr(model, "task", "detection") == "classification"
    if not classifier:  # torch.export would record a height or width of 1 as a constant
        image = F.pad(image, (0, max(2 - image.shape[2], 0), 0, max(2 - image.shape[1], 0)))
    free = {1: torch.export.Dim("height", min=2), 2: torch.export.Dim("width", min=2)}
    with capturing(model, "onnx"), _quiet():
        program = torch.onnx.export(
            Adapter(model, image),
            (image,),
            dynamo=True,
            dynamic_shapes=None if classifier else ((free,),),  # a nested tuple, because Adapter.forward takes *args
            input_names=[INPUT],
            output_names=list(outputs_of(model)),
            opset_version=OPSET,
            custom_translation_table=_translations(),
            verbose=False,
        )
    proto = program.model_proto
    _remove_notes(proto)
    return proto


def _translations() -> dict:
    """Return a dict from two PyTorch operators that the exporter does not support to their ONNX implementations.

    The operators are ``onnx_nms`` (non-maximum suppression) and stable sort.
    """
    from onnxscript import opset18 as op

    def nms(boxes, scores, max_iou: float, min_score: float):
        return op.NonMaxSuppression(boxes, scores, torch.iinfo(torch.int64).max, max_iou, min_score)

    def sort(values, stable: bool = True, dim: int = -1, descending: bool = False):
        count = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]))
        return op.TopK(values, count, axis=dim, largest=int(descending))  # ONNX defines TopK as stable

    return {torch.ops.seesaw_d2.onnx_nms.default: nms, torch.ops.aten.sort.stable: sort}


def _remove_notes(proto) -> None:
    """Remove the source locations of nodes and values from an ONNX model, in place.

    Source locations contain paths of this computer, and make the file five times larger.
    """
    graphs = [proto.graph, *proto.functions]
    for graph in graphs:
        for node in graph.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        for values in ("value_info", "input", "output", "initializer"):
            for each in getattr(graph, values, ()):
                if not isinstance(each, str):  # inputs and outputs of ONNX functions are names, without metadata
                    each.ClearField("metadata_props")
                    each.ClearField("doc_string")


@contextlib.contextmanager
def _quiet():
    """Return a context manager that suppresses the output and the log messages of PyTorch's ONNX exporter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
