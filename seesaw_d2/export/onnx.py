"""ONNX by torch.onnx's current exporter (``dynamo=True``), which captures the model with torch.export.

Mask R-CNN as Detectron2 has it cannot be captured so: it asks in Python how many boxes it has found. With the functions
of ``traceable`` it can, and no use is left for the older exporter, which started from a trace. RoIAlign with
aligned=True is ONNX's half-pixel mode, from opset 16 on.
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
    """The model as ONNX; weights inside (the format ends at 2 GB).

    A detector takes images of any size, a classifier those of ``image``'s: that is what it was trained for.

    Args:
        model: on the CPU, in evaluation mode.
        image: (3, H, W) uint8; for a detector only its type and number of dimensions matter.
        metadata: text for the key ``METADATA_KEY`` of the file's metadata.
        half: layers in float16, see ``layers_in_half``.

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
            dynamic_shapes=None if classifier else ((free,),),  # once for the wrapper's *args
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
    """ONNX for what the exporter does not know: NMS by category, and a sort that keeps the order of equal values."""
    from onnxscript import opset18 as op

    def nms(boxes, scores, max_iou: float, min_score: float):
        return op.NonMaxSuppression(boxes, scores, torch.iinfo(torch.int64).max, max_iou, min_score)

    def sort(values, stable: bool = True, dim: int = -1, descending: bool = False):
        count = op.Gather(op.Shape(values), op.Constant(value_ints=[dim]))
        return op.TopK(values, count, axis=dim, largest=int(descending))  # of equal values the first, says ONNX

    return {torch.ops.seesaw_d2.onnx_nms.default: nms, torch.ops.aten.sort.stable: sort}


def _remove_notes(proto) -> None:
    """The exporter notes on every node where in the program it comes from: five times the size, and folders' names."""
    graphs = [proto.graph, *proto.functions]
    for graph in graphs:
        for node in graph.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        for values in ("value_info", "input", "output", "initializer"):
            for each in getattr(graph, values, ()):
                if not isinstance(each, str):  # a function's inputs are names
                    each.ClearField("metadata_props")
                    each.ClearField("doc_string")


@contextlib.contextmanager
def _quiet():
    """The exporter prints and logs its progress."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
