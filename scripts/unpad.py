"""
Let a dense graph compute real tokens only: padding stays in what goes in and comes out, and inside the attention.

Between the embeddings and the last hidden state all operators but the attention work token by token. There the tokens
of all texts are laid end to end, (all tokens, dimensions), and one product takes them all through the weights; for
the attention alone they are put back in rows of one length. com.microsoft.Attention takes each text and head through
the weights by itself, which costs about as much again as the padding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper
from onnxruntime.transformers.onnx_model import OnnxModel

from gateways.onnx_py.session import UNPADDED_MARK

MASK, STATES = "attention_mask", "token_embeddings"
# Where each token stands among all cells of the batch, (all tokens,); and each cell's token, (batch, tokens).
CELLS, TOKENS = "cells_of_tokens", "tokens_of_cells"


def unpad(path: Path) -> None:
    """Rewrite a graph in place; one whose attention is not one of the fused ones is left as it is."""
    model = onnx.load(path, load_external_data=False)
    graph = OnnxModel(model)
    attentions = [node for node in model.graph.node if node.op_type in ("Attention", "QAttention")]
    if not attentions:
        return
    embedded = first_states(graph, attentions[0])
    pooling = [node.output[0] for node in model.graph.node if STATES in node.input]
    unpadded = {name: f"{name}_unpadded" for name in (embedded, STATES)}
    model.graph.node.extend(places(graph))
    for node in attentions:
        model.graph.node.extend(attention(node))
        model.graph.node.remove(node)
    for node in model.graph.node:
        if node.output[0] not in pooling:
            node.input[:] = [unpadded.get(name, name) for name in node.input]
        node.output[:] = [unpadded[name] if name == STATES else name for name in node.output]
    model.graph.node.extend(tokens_of(embedded, unpadded[embedded]))
    model.graph.node.append(helper.make_node("Gather", [unpadded[STATES], TOKENS], [STATES]))
    del model.graph.value_info[:]  # the shapes that were
    helper.set_model_props(model, {UNPADDED_MARK: "yes"})
    graph.topological_sort()
    onnx.save(model, path)


def places(graph: OnnxModel) -> list[NodeProto]:
    """Make CELLS and TOKENS of the mask."""
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
        # A cell of padding gets the token before it, or the first: nothing looks at it.
        helper.make_node("Max", ["unpad_latest", "unpad_0"], ["unpad_tokens"]),
        helper.make_node("Shape", [MASK], ["unpad_shape"]),
        helper.make_node("Reshape", ["unpad_tokens", "unpad_shape"], [TOKENS]),
    ]


def attention(node: NodeProto) -> list[NodeProto]:
    """Return what computes a com.microsoft.Attention or QAttention of tokens that are laid end to end."""
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
        *tokens_of(f"{name}_padded", name),
    ]


def tokens_of(padded: str, tokens: str) -> list[NodeProto]:
    """Take the tokens out of (batch, tokens, dimensions)."""
    return [
        helper.make_node("Flatten", [padded], [f"{padded}_cells"], axis=2),
        helper.make_node("Gather", [f"{padded}_cells", CELLS], [tokens]),
    ]


def first_states(graph: OnnxModel, node: NodeProto) -> str:
    """Name what the first layer reads, which its attention may do by way of a quantisation: normalised embeddings."""
    while node.op_type != "LayerNormalization":
        node = graph.get_parent(node, 0)
    return str(node.output[0])
