"""
Rewrite a dense graph to compute real tokens only. Inputs, outputs and the attention itself keep their padding.

All operators except the attention work token by token. For them the tokens of all texts are concatenated to (all
tokens, dimensions), and one matrix product multiplies all of them with the weights. Only the attention needs rows of
one length. com.microsoft.Attention multiplies each text and head with the weights separately, which costs about as
much again as the padding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from gateways.onnx_py.session import UNPADDED_MARK

MASK, STATES = "attention_mask", "token_embeddings"
# CELLS: index of each token among all cells of the batch, (all tokens,). TOKENS: token of each cell, (batch, tokens).
CELLS, TOKENS = "cells_of_tokens", "tokens_of_cells"


def unpad(path: Path) -> None:
    """Rewrite a graph in place. A graph without fused attention is left unchanged."""
    model = onnx.load(path, load_external_data=False)
    graph = OnnxModel(model)
    attentions = [node for node in model.graph.node if node.op_type in ("Attention", "QAttention")]
    if not attentions:
        return
    embeddings = find_embeddings(graph, attentions[0])
    pooling = [node.output[0] for node in model.graph.node if STATES in node.input]
    unpadded = {name: f"{name}_unpadded" for name in (embeddings, STATES)}
    model.graph.node.extend(make_index_nodes(graph))
    for node in attentions:
        model.graph.node.extend(make_attention_nodes(node))
        model.graph.node.remove(node)
    for node in model.graph.node:
        if node.output[0] not in pooling:
            node.input[:] = [unpadded.get(name, name) for name in node.input]
        node.output[:] = [unpadded[name] if name == STATES else name for name in node.output]
    model.graph.node.extend(make_gather_nodes(embeddings, unpadded[embeddings]))
    model.graph.node.append(helper.make_node("Gather", [unpadded[STATES], TOKENS], [STATES]))
    del model.graph.value_info[:]  # the recorded shapes are no longer true
    helper.set_model_props(model, {UNPADDED_MARK: "yes"})
    graph.topological_sort()
    onnx.save(model, path)


def make_index_nodes(graph: OnnxModel) -> list[NodeProto]:
    """Return the nodes that compute CELLS and TOKENS from the mask; their constants are added to the graph."""
    constants = {
        "unpad_flat": np.array([-1], np.int64),
        "unpad_1": np.int64(1),
        "unpad_0": np.int64(0),
        "unpad_axis": np.int32(0),
    }
    for name, value in constants.items():
        graph.add_initializer(numpy_helper.from_array(np.asarray(value), name))
    return [
        helper.make_node("Reshape", [MASK, "unpad_flat"], ["unpad_mask"]),
        helper.make_node("NonZero", ["unpad_mask"], ["unpad_found"]),
        helper.make_node("Reshape", ["unpad_found", "unpad_flat"], [CELLS]),
        helper.make_node("CumSum", ["unpad_mask", "unpad_axis"], ["unpad_counted"]),
        helper.make_node("Sub", ["unpad_counted", "unpad_1"], ["unpad_latest"]),
        # A padding cell gets the token before it, or the first one; no operator reads its value.
        helper.make_node("Max", ["unpad_latest", "unpad_0"], ["unpad_tokens"]),
        helper.make_node("Shape", [MASK], ["unpad_shape"]),
        helper.make_node("Reshape", ["unpad_tokens", "unpad_shape"], [TOKENS]),
    ]


def make_attention_nodes(node: NodeProto) -> list[NodeProto]:
    """Return the nodes that compute a com.microsoft.Attention or QAttention of concatenated tokens."""
    name = node.output[0]
    heads = next(attribute.i for attribute in node.attribute if attribute.name == "num_heads")
    products, parts = f"{name}_products", [f"{name}_{part}" for part in ("query", "key", "value")]
    if node.op_type == "Attention":
        states, weights, bias, mask = node.input[:4]
        product = [
            helper.make_node("MatMul", [states, weights], [f"{products}_unbiased"]),
            helper.make_node("Add", [f"{products}_unbiased", bias], [products]),
        ]
    else:
        states, weights, bias, scale, weights_scale, mask, zero, weights_zero = node.input[:8]
        inputs = [states, weights, scale, weights_scale, zero, weights_zero, bias]
        product = [helper.make_node("MatMulIntegerToFloat", inputs, [products], domain="com.microsoft")]
    rows = helper.make_node(
        "MultiHeadAttention", [*parts, "", mask], [f"{name}_padded"], domain="com.microsoft", num_heads=heads
    )
    return [
        *product,
        helper.make_node("Gather", [products, TOKENS], [f"{products}_padded"]),
        helper.make_node("Split", [f"{products}_padded"], parts, axis=2, num_outputs=3),
        rows,
        *make_gather_nodes(f"{name}_padded", name),
    ]


def make_gather_nodes(padded: str, tokens: str) -> list[NodeProto]:
    """Return the nodes that gather the real tokens of `padded`, (batch, tokens, dimensions), into `tokens`."""
    return [
        helper.make_node("Flatten", [padded], [f"{padded}_cells"], axis=2),
        helper.make_node("Gather", [f"{padded}_cells", CELLS], [tokens]),
    ]


def find_embeddings(graph: OnnxModel, node: NodeProto) -> str:
    """Return the name of the normalised embeddings that the first attention reads, directly or quantised."""
    while node.op_type != "LayerNormalization":
        node = graph.get_parent(node, 0)
    return str(node.output[0])
