"""Convert the layers of an ONNX model to float16, as under autocast, and store their weights in float16.

Only layers with stored weights are converted. Scores, box decoding, NMS, inputs and outputs stay float32, because
float16 has a resolution of only one pixel for coordinates above 1024. The matrix products of normalized classifiers and
normalized mask predictors also stay float32, because float16 would round small features to zero before the
normalization.
"""

from collections import Counter

import numpy as np

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def layers_in_half(proto) -> None:
    """Convert the layers of an ONNX model to float16, in place.

    Layers are convolutions and linear layers with stored weights. This function adds a cast to float16 before each
    layer and a cast to float32 after each layer. Weights that only layers use are stored in float16.

    Args:
        proto: the model, an ``onnx.ModelProto``.
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
    changed = type(graph)(node=nodes)  # copies the nodes, so that ClearField does not delete them
    graph.ClearField("node")
    graph.MergeFrom(changed)


def _float_layers(graph) -> set[int]:
    """Return the indices in ``graph.node`` of convolutions and linear layers in float32 whose weights are stored."""
    from onnx import TensorProto

    weights = {each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT}
    floats = {each.name for each in graph.value_info if each.type.tensor_type.elem_type == TensorProto.FLOAT} | weights
    return {
        position
        for position, node in enumerate(graph.node)
        if node.op_type in LAYERS and node.input[1] in weights and floats.issuperset(filter(None, node.input))
    }


def _store_weights(graph, layers: set[int]) -> list[str]:
    """Convert the weights that only layers use to float16, in place. Return the names of these weights.

    Args:
        graph: graph of the ONNX model.
        layers: indices of the layers in ``graph.node``.
    """
    from onnx import numpy_helper

    uses, inside = Counter(), Counter()
    for position, node in enumerate(graph.node):
        uses.update(node.input)
        inside.update(node.input if position in layers else ())
    stored = [each for each in graph.initializer if 0 < inside[each.name] == uses[each.name]]
    for each in stored:
        each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each).astype(np.float16), each.name))
    return [each.name for each in stored]
