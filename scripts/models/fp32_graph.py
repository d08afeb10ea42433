"""Export a BERT with mean pooling to an fp32 ONNX graph, traced in the shapes that onnxruntime can fuse."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model
from torch import Tensor
from transformers import AttentionInterface, AutoModel

OPSET = 18
MASKED = -10_000.0  # com.microsoft.Attention adds this to a masked score; its exp is 0 in float32


def divided_attention(
    _: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **__: Any
) -> tuple[Tensor, None]:
    """Attention with scores divided by sqrt(head size), as onnxruntime's fusion expects; transformers multiplies."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]) + mask
    return (scores.softmax(-1) @ value).transpose(1, 2), None


class Encoder(torch.nn.Module):
    """
    A BERT as (ids, mask) -> (mean of the real token vectors, token vectors).

    Token types are always 0 here, so the embedding of type 0 is added to every position embedding.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        AttentionInterface.register("divided", divided_attention)
        bert = AutoModel.from_pretrained(folder, attn_implementation="divided", add_pooling_layer=False)
        self.words, self.positions = bert.embeddings.word_embeddings, bert.embeddings.position_embeddings
        self.norm, self.layers = bert.embeddings.LayerNorm, bert.encoder
        with torch.no_grad():
            self.positions.weight += bert.embeddings.token_type_embeddings.weight[0]

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(n, tokens) int64 twice -> (n, dimensions), (n, tokens, dimensions)."""
        embedded = self.norm(self.words(ids) + self.positions(torch.arange(ids.shape[1]).unsqueeze(0)))
        bias = (1.0 - mask.unsqueeze(1).unsqueeze(2).to(embedded.dtype)) * MASKED
        tokens = self.layers(embedded, attention_mask=bias).last_hidden_state
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        return (tokens * weights).sum(1) / weights.sum(1), tokens


def trace(folder: Path, plain: Path) -> None:
    """Write the model's unfused graph to `plain`; the batch and token axes are dynamic."""
    encoder = Encoder(folder).eval()
    ids = torch.arange(1000, 1018).reshape(2, 9)
    max_tokens = encoder.positions.num_embeddings
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=max_tokens)}
    with torch.inference_mode():
        torch.onnx.export(
            encoder,
            (ids, torch.ones_like(ids)),
            plain,
            input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding", "token_embeddings"],
            dynamic_shapes=[axes, axes],
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def fuse(plain: Path, fused: Path, heads: int, dimensions: int) -> dict[str, int]:
    """Write the graph `plain` to `fused` with its operators fused. Returns the count of each fused operator."""
    model = onnx.load(plain)
    split_unsqueeze(model.graph)
    onnx.save(model, plain)
    options = FusionOptions("bert")
    # Embeddings stay Gather operators. EmbedLayerNormalization is no faster here; its quantized form is no smaller.
    options.enable_embed_layer_norm = False
    options.use_raw_attention_mask(True)
    optimized = optimize_model(str(plain), "bert", heads, dimensions, options, opt_level=0)
    optimized.save_model_to_file(str(fused))
    return {name: count for name, count in optimized.get_fused_operator_statistics().items() if count}


def split_unsqueeze(graph: onnx.GraphProto) -> None:
    """Split the mask's merged Unsqueeze into two operators; the attention fusion looks for both."""
    values = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    for i, node in enumerate(graph.node):
        if node.op_type == "Unsqueeze" and values[node.input[1]].tolist() == [1, 2]:
            for axis in (1, 2):
                graph.initializer.append(numpy_helper.from_array(np.array([axis]), f"mask_axis_{axis}"))
            first = helper.make_node("Unsqueeze", [node.input[0], "mask_axis_1"], ["mask_rank_3"])
            second = helper.make_node("Unsqueeze", ["mask_rank_3", "mask_axis_2"], node.output)
            graph.node.remove(node)
            graph.node.insert(i, second)
            graph.node.insert(i, first)
            return
