"""Export to ONNX with torch.onnx's current exporter (``dynamo=True``), which captures the model with torch.export.

Detectron2's Mask R-CNN has Python branches on the number of boxes, which torch.export cannot capture. ``traceable``
replaces them. RoIAlign with aligned=True is ONNX's half-pixel mode, available since opset 16.
"""

import contextlib
import io
import logging

import torch
from torch import Tensor, nn

from seesaw_d2.export.graph import INPUT, Adapter, capturing, outputs_of
from seesaw_d2.export.onnx_half import layers_in_half
from seesaw_d2.export.onnx_requirements import need

METADATA_KEY = "seesaw_d2"
OPSET = 18


def to_onnx(model: nn.Module, image: Tensor, metadata: str, *, half: bool = False) -> bytes:
    """Return the model as ONNX, including its weights. The format is limited to 2 GB.

    An exported detector accepts images of any size, a classifier images of the size of ``image``.

    Args:
        model: the model, on the CPU, in evaluation mode.
        image: (3, H, W) uint8. For a detector, its size and content do not matter.
        metadata: text for the key ``METADATA_KEY`` of the file's metadata.
        half: run layers in float16, see ``layers_in_half``.

    Raises:
        ConfigError: onnx or onnxscript is missing, or the exporter cannot capture the model.
    """
    need("onnx", "onnxscript")
    classifier = getattr(model, "task", "detection") == "classification"
    free = {1: torch.export.Dim("height", min=2), 2: torch.export.Dim("width", min=2)}
    with capturing(model, "onnx"), _quiet():
        program = torch.onnx.export(
            Adapter(model, image),
            (image,),
            dynamo=True,
            dynamic_shapes=None if classifier else ((free,),),  # nested because of the adapter's *args
            input_names=[INPUT],
            output_names=list(outputs_of(model)),
            opset_version=OPSET,
            custom_translation_table=_translations(),
            verbose=False,
        )
    proto = program.model_proto
    _remove_notes(proto)
    if half:
        layers_in_half(proto)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata
    return proto.SerializeToString()


def _translations() -> dict:
    """Return translations of operators that the exporter does not support: NMS by category and stable sort."""
    from onnxscript import opset18 as op

    def nms(boxes, scores, max_iou: float, min_score: float):
        return op.NonMaxSuppression(boxes, scores, torch.iinfo(torch.int64).max, max_iou, min_score)

    def sort(values, stable: bool = True, dim: int = -1, descending: bool = False):
        count = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]))
        return op.TopK(values, count, axis=dim, largest=int(descending))  # ONNX specifies that TopK is stable

    return {torch.ops.seesaw_d2.onnx_nms.default: nms, torch.ops.aten.sort.stable: sort}


def _remove_notes(proto) -> None:
    """Remove the exporter's notes on source lines, which make the file five times as large and name local folders."""
    graphs = [proto.graph, *proto.functions]
    for graph in graphs:
        for node in graph.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        for values in ("value_info", "input", "output", "initializer"):
            for each in getattr(graph, values, ()):
                if not isinstance(each, str):  # the inputs of functions are strings
                    each.ClearField("metadata_props")
                    each.ClearField("doc_string")


@contextlib.contextmanager
def _quiet():
    """Suppress the exporter's output and log messages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
