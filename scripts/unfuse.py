"""
Take two fusions back: SkipLayerNormalization and BiasGelu are slower on a CPU than the operators they replace.

ONNX Runtime 1.31 computes SkipLayerNormalization element by element, LayerNormalization and Add with vectors. A
session on a CPU must not fuse them again when it opens the graph: gateways/onnx_py/session.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import NodeProto, helper


def unfuse(path: Path) -> None:
    """Rewrite a graph in place; what it computes stays the same, and weights beside it stay where they are."""
    model = onnx.load(path, load_external_data=False)
    nodes = [part for node in model.graph.node for part in parts(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    absorb_biases(model.graph)
    onnx.save(model, path)


def parts(node: NodeProto) -> Iterator[NodeProto]:
    """Yield the plain operators of a fused one, or the node itself."""
    if node.op_type == "BiasGelu":
        value, bias = node.input
        yield helper.make_node("Add", [value, bias], [f"{value}_biased"], f"{node.name}_bias")
        yield helper.make_node("Gelu", [f"{value}_biased"], node.output, node.name, domain="com.microsoft")
    elif node.op_type == "SkipLayerNormalization" and not any(node.output[1:]):
        value, skipped, gamma, beta, *bias = node.input
        for at, addend in enumerate([*bias, skipped]):
            added = f"{node.output[0]}_sum_{at}"
            yield helper.make_node("Add", [value, addend], [added], f"{node.name}_add_{at}")
            value = added
        epsilon = next(attribute.f for attribute in node.attribute if attribute.name == "epsilon")
        yield helper.make_node("LayerNormalization", [value, gamma, beta], node.output, node.name, epsilon=epsilon)
    else:
        yield node


def absorb_biases(graph: onnx.GraphProto) -> None:
    """Let each integer matrix product add the bias that follows it: it has an input for that."""
    constants = {constant.name for constant in graph.initializer}
    products = {node.output[0]: node for node in graph.node if node.op_type == "MatMulIntegerToFloat"}
    for node in [node for node in graph.node if node.op_type == "Add"]:
        product = products.get(node.input[0])
        if product is None or node.input[1] not in constants or len(product.input) > 6:
            continue
        product.input.extend(["", ""][len(product.input) - 4 :])
        product.input.append(node.input[1])
        product.output[0] = node.output[0]
        graph.node.remove(node)
