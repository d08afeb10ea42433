"""Variants of int8 quantisation: our recipe with each of its choices changed, and onnxruntime's own methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from scripts.models.int8_graph import Range, TokenBatches, activation_ranges, fix_ranges, iterate_tensors
from scripts.models.undo_fusions import unfuse

OPERATORS = ["Attention", "Gather", "MatMul"]

Ranges = Callable[[Path, list[str], TokenBatches], dict[str, Range]]
NodeFilter = Callable[[Sequence[onnx.NodeProto]], list[onnx.NodeProto]]


@dataclass(frozen=True)
class Calibration:
    """
    The token batches (ids, mask) for calibration: `mixed` for our recipe, single `passages` for onnxruntime's.

    `sources` maps True to the smoothed graph and False to the plain one. `ranges` is a cache.
    """

    mixed: TokenBatches
    passages: TokenBatches
    sources: dict[bool, Path]
    ranges: dict[tuple[bool, Ranges], dict[str, Range]] = field(default_factory=dict)

    def find_ranges(self, smoothed: bool, ranges: Ranges) -> dict[str, Range]:
        """Return the range of the input of each matrix product, computed by `ranges` on first use."""
        if (smoothed, ranges) not in self.ranges:
            source = self.sources[smoothed]
            names = sorted({node.input[0] for node in products(onnx.load(source).graph.node)})
            self.ranges[smoothed, ranges] = ranges(source, names, self.mixed)
        return self.ranges[smoothed, ranges]


@dataclass(frozen=True)
class Recipe:
    """The choices of `scripts/models/int8_graph.py`. `ranges` None: dynamic ranges, computed for each batch."""

    per_channel: bool = True
    reduce_range: bool = True
    smoothed: bool = True
    ranges: Ranges | None = activation_ranges
    fp32_nodes: NodeFilter | None = None

    def build(self, graph: Path, calibration: Calibration) -> None:
        """Write the int8 graph to `graph`. The nodes that `fp32_nodes` returns are not quantised."""
        source = calibration.sources[self.smoothed]
        nodes = list(onnx.load(source).graph.node)
        quantize_dynamic(
            source,
            graph,
            OPERATORS,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            nodes_to_exclude=[node.name for node in self.fp32_nodes(nodes)] if self.fp32_nodes else [],
        )
        if self.ranges is not None:
            model = onnx.load(graph)
            fix_ranges(model, calibration.find_ranges(self.smoothed, self.ranges))
            onnx.save(model, graph)
        unfuse(graph)


@dataclass(frozen=True)
class Static:
    """
    onnxruntime's own static quantisation of the graph that is not smoothed.

    QOperator has no static Attention, which stays in fp32. Entropy uses as many bins as levels, so it clips nothing
    and equals MinMax.
    """

    method: CalibrationMethod
    format: QuantFormat

    def build(self, graph: Path, calibration: Calibration) -> None:
        """Write the int8 graph to `graph`: weights per channel in 7 bits, activations in 8 bits."""
        quantize_static(
            calibration.sources[False],
            graph,
            Reader(calibration.passages),
            self.format,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=self.method,
        )


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Iterates over token batches for onnxruntime's calibrators."""

    def __init__(self, token_batches: TokenBatches) -> None:
        self._feeds = iter([{"input_ids": ids, "attention_mask": mask} for ids, mask in token_batches])

    def get_next(self) -> dict[str, Any] | None:
        """Return the inputs of the next batch, or None at the end."""
        return next(self._feeds, None)


def minmax_ranges(source: Path, names: list[str], token_batches: TokenBatches) -> dict[str, Range]:
    """Return the minimum and the maximum of each tensor."""
    ends = dict.fromkeys(names, (0.0, 0.0))
    for tensors in iterate_tensors(source, names, token_batches):
        for name, values in tensors.items():
            ends[name] = min(ends[name][0], float(values.min())), max(ends[name][1], float(values.max()))
    return ends


def percentile_ranges(
    source: Path, names: list[str], token_batches: TokenBatches, percent: float = 99.99
) -> dict[str, Range]:
    """Return the range of the middle `percent` of each tensor's values, as the mean over batches."""
    percentiles: dict[str, list[Any]] = {name: [] for name in names}
    tails = [(100 - percent) / 2, (100 + percent) / 2]
    for tensors in iterate_tensors(source, names, token_batches):
        for name, values in tensors.items():
            percentiles[name].append(np.percentile(values, tails))
    means = {name: np.mean(rows, axis=0) for name, rows in percentiles.items()}
    return {name: (min(0.0, float(low)), max(0.0, float(high))) for name, (low, high) in means.items()}


def products(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the matrix products in order: for each layer attention, attention output, and the two of the FFN."""
    return [node for node in nodes if node.op_type in ("Attention", "MatMul")]


def layer_products(index: int, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return one product of each layer. `index`: 0 attention, 1 attention output, 2 and 3 the FFN."""
    return products(nodes)[index::4]


def last_layer(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the four products of the last layer."""
    return products(nodes)[-4:]


def embeddings(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the lookups of word and position embeddings."""
    return [node for node in nodes if node.op_type == "Gather"]


SHIPPED = Recipe()
PLAIN = Recipe(smoothed=False)
VARIANTS: dict[str, Recipe | Static] = {
    "weights per tensor": replace(SHIPPED, per_channel=False),
    "weights in 8 bits": replace(SHIPPED, reduce_range=False),
    "weights per tensor, in 8 bits": replace(SHIPPED, per_channel=False, reduce_range=False),
    "not smoothed": PLAIN,
    "ranges MinMax": replace(SHIPPED, ranges=minmax_ranges),
    "ranges 99.99 %": replace(SHIPPED, ranges=percentile_ranges),
    "dynamic, smoothed": replace(SHIPPED, ranges=None),
    "dynamic": replace(PLAIN, ranges=None),
    "dynamic, per tensor": replace(PLAIN, ranges=None, per_channel=False),
    "dynamic, 8 bits": replace(PLAIN, ranges=None, reduce_range=False),
    "fp32: attention": replace(SHIPPED, fp32_nodes=partial(layer_products, 0)),
    "fp32: attention output": replace(SHIPPED, fp32_nodes=partial(layer_products, 1)),
    "fp32: FFN's second": replace(SHIPPED, fp32_nodes=partial(layer_products, 3)),
    "fp32: last layer": replace(SHIPPED, fp32_nodes=last_layer),
    "fp32: embeddings": replace(SHIPPED, fp32_nodes=embeddings),
    "onnxruntime QDQ MinMax": Static(CalibrationMethod.MinMax, QuantFormat.QDQ),
    "onnxruntime QDQ Entropy": Static(CalibrationMethod.Entropy, QuantFormat.QDQ),
    "onnxruntime QDQ Percentile": Static(CalibrationMethod.Percentile, QuantFormat.QDQ),
    "onnxruntime QOperator MinMax": Static(CalibrationMethod.MinMax, QuantFormat.QOperator),
}
