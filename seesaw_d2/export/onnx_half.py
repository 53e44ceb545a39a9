"""Run the layers of an ONNX model in float16, as under autocast, and store their weights in float16.

Converters that cast a whole model to float16 also cast box coordinates, whose resolution is then one pixel above 1024.
Here, scores, box decoding, NMS, inputs and outputs stay float32. So do the products of normalized classifiers and mask
predictors: float16 would round small features to zero, but their direction matters.
"""

from collections import Counter

import numpy as np

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def layers_in_half(proto) -> None:
    """Change the layers of an ONNX model to compute in float16, in place.

    The inputs of each layer are cast to float16 and its output to float32. Weights that only layers use are stored in
    float16.
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
    changed = type(graph)(node=nodes)  # copies the nodes
    graph.ClearField("node")
    graph.MergeFrom(changed)


def _float_layers(graph) -> set[int]:
    """Return the positions of nodes that are float32 layers with stored weights."""
    from onnx import TensorProto

    weights = {each.name for each in graph.initializer if each.data_type == TensorProto.FLOAT}
    floats = {each.name for each in graph.value_info if each.type.tensor_type.elem_type == TensorProto.FLOAT} | weights
    return {
        position
        for position, node in enumerate(graph.node)
        if node.op_type in LAYERS and node.input[1] in weights and floats.issuperset(filter(None, node.input))
    }


def _store_weights(graph, layers: set[int]) -> list[str]:
    """Convert weights that only layers use to float16, in place, and return their names."""
    from onnx import numpy_helper

    uses, inside = Counter(), Counter()
    for position, node in enumerate(graph.node):
        uses.update(node.input)
        inside.update(node.input if position in layers else ())
    stored = [each for each in graph.initializer if 0 < inside[each.name] == uses[each.name]]
    for each in stored:
        each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each).astype(np.float16), each.name))
    return [each.name for each in stored]
