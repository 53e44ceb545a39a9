"""Half precision in an ONNX model: its layers in float16, as under autocast, and their weights in the file too.

Whole models cast to float16, as converters make them, compute box coordinates and overlaps in it, with steps of a pixel
from 1024 on. Here everything between the layers stays float32: scores, box decoding, NMS, inputs and outputs. So do the
products of normalized classifiers and mask predictors, whose filters are made in the graph: the features that they take
may be smaller than what float16 can tell from zero, and it is their direction that counts.
"""

from collections import Counter

import numpy as np

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def layers_in_half(proto) -> None:
    """Let the layers of an ONNX model compute in float16, in place.

    What goes into one is cast to float16, what comes out to float32. Weights that only layers use are stored so.
    """
    from onnx import TensorProto, helper

    graph = proto.graph
    layers = _float_layers(graph)
    halves = {name: name for name in _store_weights(graph, layers)}
    nodes = []
    for position, node in enumerate(graph.node):
        if position not in layers:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name and name not in halves:
                halves[name] = f"{name}_float16"
                nodes.append(helper.make_node("Cast", [name], [halves[name]], to=TensorProto.FLOAT16))
            node.input[index] = halves.get(name, name)
        (output,) = node.output
        node.output[0] = f"{output}_float16_layer"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [output], to=TensorProto.FLOAT)]
    changed = type(graph)(node=nodes)  # copies, before the old ones go
    graph.ClearField("node")
    graph.MergeFrom(changed)


def _float_layers(graph) -> set[int]:
    """Where in the graph its float32 layers with weights of their own stand."""
    from onnx import TensorProto

    weights = {each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT}
    floats = {each.name for each in graph.value_info if each.type.tensor_type.elem_type == TensorProto.FLOAT} | weights
    return {
        position
        for position, node in enumerate(graph.node)
        if node.op_type in LAYERS and node.input[1] in weights and floats.issuperset(filter(None, node.input))
    }


def _store_weights(graph, layers: set[int]) -> list[str]:
    """The names of weights that nothing but layers uses, which are in float16 from then on."""
    from onnx import numpy_helper

    uses, inside = Counter(), Counter()
    for position, node in enumerate(graph.node):
        uses.update(node.input)
        inside.update(node.input if position in layers else ())
    stored = [each for each in graph.initializer if 0 < inside[each.name] == uses[each.name]]
    for each in stored:
        each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each).astype(np.float16), each.name))
    return [each.name for each in stored]
