"""
Undo two fusions: SkipLayerNormalization and BiasGelu are slower on a CPU than the operators they replace.

ONNX Runtime 1.31 computes SkipLayerNormalization element by element, but LayerNormalization and Add with SIMD. A CPU
session must not fuse them again when it loads the graph: see SLOW_FUSIONS in gateways/onnx_py/session.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import NodeProto, helper


def unfuse(path: Path) -> None:
    """Rewrite a graph in place. Its results do not change, and an external weights file is not touched."""
    model = onnx.load(path, load_external_data=False)
    nodes = [part for node in model.graph.node for part in expand_node(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    absorb_biases(model.graph)
    onnx.save(model, path)


def expand_node(node: NodeProto) -> Iterator[NodeProto]:
    """Yield the plain operators that a fused node replaces, or the node itself."""
    if node.op_type == "BiasGelu":
        value, bias = node.input
        yield helper.make_node("Add", [value, bias], [f"{value}_biased"], f"{node.name}_bias")
        yield helper.make_node("Gelu", [f"{value}_biased"], node.output, node.name, domain="com.microsoft")
    elif node.op_type == "SkipLayerNormalization" and not any(node.output[1:]):
        value, skipped, gamma, beta, *bias = node.input
        for index, addend in enumerate([*bias, skipped]):
            total = f"{node.output[0]}_sum_{index}"
            yield helper.make_node("Add", [value, addend], [total], f"{node.name}_add_{index}")
            value = total
        epsilon = next(attribute.f for attribute in node.attribute if attribute.name == "epsilon")
        yield helper.make_node("LayerNormalization", [value, gamma, beta], node.output, node.name, epsilon=epsilon)
    else:
        yield node


def absorb_biases(graph: onnx.GraphProto) -> None:
    """Replace each MatMulIntegerToFloat and the Add of a constant after it by one node; it has a bias input."""
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
