"""Quantise a fused graph to int8: 7-bit weights per channel, activations per tensor in ranges calibrated on text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.transformers.onnx_model import OnnxModel

from scripts.models.parity import F32, I64, open_session

Range = tuple[float, float]
BINS = 8192  # bins of a calibration histogram: at least 32 bins per int8 level
# Share of a channel's peak that moves into the weights (SmoothQuant's alpha). Change against fp32 on 5,928 questions,
# in points of hit@1 and nDCG@10: alpha 0 -0.35 and -0.40; 0.7 -0.07 and -0.15. Vectors are less similar at 0.5, 0.85.
MIGRATION = 0.7
TokenBatches = Sequence[tuple[I64, I64]]


def quantize(fused: Path, int8: Path, token_batches: TokenBatches) -> None:
    """
    Write the int8 graph of `fused` to `int8`, with activation ranges calibrated on `token_batches` (ids, mask).

    Weights have 7 bits (reduce_range), because without VNNI the product of two 8-bit numbers saturates. Ranges are
    fixed, because a dynamic range covers a whole batch: a vector would depend on the other texts of its batch.
    """
    smoothed = int8.with_name("smoothed.onnx")
    smooth(fused, smoothed, token_batches)
    quantize_dynamic(smoothed, int8, ["Attention", "Gather", "MatMul"], per_channel=True, reduce_range=True)
    model = onnx.load(int8)
    names = [node.input[0] for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"]
    fix_ranges(model, activation_ranges(smoothed, names, token_batches))
    onnx.save(model, int8)


def smooth(fused: Path, smoothed: Path, token_batches: TokenBatches) -> None:
    """
    Write `fused` to `smoothed` with outliers of activations moved into the weights.

    The input channels of each matrix product are divided by a factor, and its weight rows multiplied by it. The
    product is unchanged: SmoothQuant (Xiao et al. 2023, equation 4).
    """
    model = onnx.load(fused)
    graph = OnnxModel(model)
    products = [node for node in model.graph.node if node.op_type in ("Attention", "MatMul")]
    peaks = channel_peaks(fused, [node.input[0] for node in products], token_batches)
    for node in products:
        channels, weights = node.input[0], numpy_helper.to_array(graph.get_initializer(node.input[1]))
        peak = np.maximum(np.stack([peaks[channels], np.abs(weights).max(axis=1)]), 1e-5)
        factor = (peak[0] ** MIGRATION / peak[1] ** (1 - MIGRATION)).astype(np.float32)
        names = [f"{node.output[0]}_{part}" for part in ("divisor", "weights", "smoothed")]
        graph.add_initializer(numpy_helper.from_array(1 / factor, names[0]))
        graph.add_initializer(numpy_helper.from_array(weights * factor[:, None], names[1]))
        graph.add_node(helper.make_node("Mul", [channels, names[0]], names[2:]))
        node.input[0], node.input[1] = names[2], names[1]
    graph.prune_graph()
    graph.topological_sort()
    onnx.save(model, smoothed)


def channel_peaks(fused: Path, names: list[str], token_batches: TokenBatches) -> dict[str, F32]:
    """Return the greatest magnitude of each channel of the tensors `names`, (channels,) each."""
    peaks: dict[str, F32] = {}
    for tensors in iterate_tensors(fused, sorted(set(names)), token_batches):
        for name, values in tensors.items():
            peak = np.abs(values).max(axis=0)
            peaks[name] = np.maximum(peaks.get(name, peak), peak)
    return peaks


def iterate_tensors(fused: Path, names: list[str], token_batches: TokenBatches) -> Iterator[dict[str, F32]]:
    """Yield for each batch the values of the tensors `names` at real tokens, (tokens, channels) each."""
    model = onnx.load(fused)
    for name in names:
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = open_session(model.SerializeToString())
    for ids, mask in token_batches:
        tensors = session.run(names, {"input_ids": ids, "attention_mask": mask})
        yield {name: tensor[mask == 1] for name, tensor in zip(names, tensors, strict=True)}


def activation_ranges(fused: Path, names: list[str], token_batches: TokenBatches) -> dict[str, Range]:
    """
    Return the range of each tensor of `names` that has the least squared error in 8 bits.

    The first run over the batches finds minimum and maximum, the second one fills the histograms.
    """
    ends = dict.fromkeys(names, (0.0, 0.0))
    for tensors in iterate_tensors(fused, names, token_batches):
        for name, values in tensors.items():
            ends[name] = min(ends[name][0], float(values.min())), max(ends[name][1], float(values.max()))
    counts = {name: np.zeros(BINS) for name in names}
    for tensors in iterate_tensors(fused, names, token_batches):
        for name, values in tensors.items():
            counts[name] += np.histogram(values, BINS, ends[name])[0]
    return {name: least_error_range(counts[name], *ends[name]) for name in names}


def least_error_range(counts: NDArray[np.float64], low: float, high: float) -> Range:
    """Return the sub-range of a histogram with the least squared error in 256 levels; values outside are clipped."""
    edges = np.linspace(low, high, len(counts) + 1)
    values = (edges[:-1] + edges[1:]) / 2
    best = (math.inf, low, high)
    for bottom in np.linspace(0.2, 1, 17) * low:
        for top in np.linspace(0.2, 1, 17) * high:
            scale = (top - bottom) / 255
            zero = np.round(-bottom / scale)
            levels = np.clip(np.round(values / scale) + zero, 0, 255)
            error = float((counts * ((levels - zero) * scale - values) ** 2).sum())
            best = min(best, (error, float(bottom), float(top)))
    return best[1:]


def fix_ranges(model: onnx.ModelProto, ranges: dict[str, Range]) -> None:
    """Replace each DynamicQuantizeLinear by a fixed range, and each MatMulInteger chain by MatMulIntegerToFloat."""
    graph = OnnxModel(model)
    for node in graph.get_nodes_by_op_type("DynamicQuantizeLinear"):
        low, high = ranges[node.input[0]]
        scale = (high - low) / 255
        graph.add_initializer(numpy_helper.from_array(np.array(scale, np.float32), node.output[1]))
        graph.add_initializer(numpy_helper.from_array(np.array(round(-low / scale), np.uint8), node.output[2]))
        graph.add_node(helper.make_node("QuantizeLinear", [node.input[0], *node.output[1:]], node.output[:1]))
        graph.remove_node(node)
    for node in graph.get_nodes_by_op_type("MatMulInteger"):
        cast = graph.get_children(node)[0]
        scaled = graph.get_children(cast)[0]
        scales = graph.get_parent(scaled, 1)
        inputs = [*node.input[:2], *scales.input, *node.input[2:]]
        fused = helper.make_node("MatMulIntegerToFloat", inputs, scaled.output, domain="com.microsoft")
        graph.add_node(fused)
        graph.remove_nodes([node, cast, scaled])
    graph.prune_graph()
    graph.topological_sort()
