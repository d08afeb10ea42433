"""Ways to make an int8 graph of an fp32 one: the shipped recipe with its choices named, and onnxruntime's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from int8 import Range, TokenBatches, activation_ranges, fix_ranges, observe
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from unfuse import unfuse

OPERATORS = ["Attention", "Gather", "MatMul"]

Ranges = Callable[[Path, list[str], TokenBatches], dict[str, Range]]
Chosen = Callable[[Sequence[onnx.NodeProto]], list[onnx.NodeProto]]


@dataclass(frozen=True)
class Calibration:
    """
    What ranges are of: token batches (ids, mask), mixed ones for ours and single passages for onnxruntime's.

    `sources` are the graphs to quantise, smoothed or not; `ranges` are known after their first use.
    """

    mixed: TokenBatches
    passages: TokenBatches
    sources: dict[bool, Path]
    ranges: dict[tuple[bool, Ranges], dict[str, Range]] = field(default_factory=dict)

    def of(self, smoothed: bool, ranges: Ranges) -> dict[str, Range]:
        """The range of what each matrix product reads."""
        if (smoothed, ranges) not in self.ranges:
            source = self.sources[smoothed]
            names = sorted({node.input[0] for node in products(onnx.load(source).graph.node)})
            self.ranges[smoothed, ranges] = ranges(source, names, self.mixed)
        return self.ranges[smoothed, ranges]


@dataclass(frozen=True)
class Recipe:
    """The shipped recipe (scripts/int8.py) with its choices named; `ranges` None leaves them to each batch."""

    per_channel: bool = True
    reduce_range: bool = True
    smoothed: bool = True
    ranges: Ranges | None = activation_ranges
    kept: Chosen | None = None

    def build(self, graph: Path, calibration: Calibration) -> None:
        """Write the graph of these choices; the nodes that `kept` names stay as they are in fp32."""
        source = calibration.sources[self.smoothed]
        nodes = list(onnx.load(source).graph.node)
        quantize_dynamic(
            source,
            graph,
            OPERATORS,
            per_channel=self.per_channel,
            reduce_range=self.reduce_range,
            nodes_to_exclude=[node.name for node in self.kept(nodes)] if self.kept else [],
        )
        if self.ranges is not None:
            model = onnx.load(graph)
            fix_ranges(model, calibration.of(self.smoothed, self.ranges))
            onnx.save(model, graph)
        unfuse(graph)


@dataclass(frozen=True)
class Static:
    """
    onnxruntime's own static quantisation, of the graph that is not smoothed.

    As QOperator it has no static Attention, which stays in fp32. Its Entropy has as many bins as levels, so it
    clips nothing: the same as MinMax.
    """

    method: CalibrationMethod
    format: QuantFormat

    def build(self, graph: Path, calibration: Calibration) -> None:
        """Write the graph: weights per channel in 7 bits, activations in 8."""
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
    """Hands token batches to onnxruntime's calibrators, one by one."""

    def __init__(self, token_batches: TokenBatches) -> None:
        self._feeds = iter([{"input_ids": ids, "attention_mask": mask} for ids, mask in token_batches])

    def get_next(self) -> dict[str, Any] | None:
        """The next batch's inputs, or None."""
        return next(self._feeds, None)


def seen_ranges(source: Path, names: list[str], token_batches: TokenBatches) -> dict[str, Range]:
    """The least and the greatest value of each tensor: MinMax, nothing clipped."""
    ends = dict.fromkeys(names, (0.0, 0.0))
    for tensors in observe(source, names, token_batches):
        for name, values in tensors.items():
            ends[name] = min(ends[name][0], float(values.min())), max(ends[name][1], float(values.max()))
    return ends


def likely_ranges(
    source: Path, names: list[str], token_batches: TokenBatches, percent: float = 99.99
) -> dict[str, Range]:
    """The percentiles of each tensor that leave (100 - percent) / 2 out on both sides, the mean over batches."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    tails = [(100 - percent) / 2, (100 + percent) / 2]
    for tensors in observe(source, names, token_batches):
        for name, values in tensors.items():
            found[name].append(np.percentile(values, tails))
    means = {name: np.mean(each, axis=0) for name, each in found.items()}
    return {name: (min(0.0, float(low)), max(0.0, float(high))) for name, (low, high) in means.items()}


def products(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The quantised matrix products in order: of each layer the attention, its output, and both of the FFN."""
    return [node for node in nodes if node.op_type in ("Attention", "MatMul")]


def every_fourth(at: int, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """One product of each layer: 0 attention, 1 its output, 2 and 3 the FFN's."""
    return products(nodes)[at::4]


def last_layer(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The four products of the last layer."""
    return products(nodes)[-4:]


def embeddings(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The tables of words and positions."""
    return [node for node in nodes if node.op_type == "Gather"]


SHIPPED = Recipe()
PLAIN = Recipe(smoothed=False)
VARIANTS: dict[str, Recipe | Static] = {
    "weights per tensor": replace(SHIPPED, per_channel=False),
    "weights in 8 bits": replace(SHIPPED, reduce_range=False),
    "weights per tensor, in 8 bits": replace(SHIPPED, per_channel=False, reduce_range=False),
    "not smoothed": PLAIN,
    "ranges MinMax": replace(SHIPPED, ranges=seen_ranges),
    "ranges 99.99 %": replace(SHIPPED, ranges=likely_ranges),
    "dynamic, smoothed": replace(SHIPPED, ranges=None),
    "dynamic": replace(PLAIN, ranges=None),
    "dynamic, per tensor": replace(PLAIN, ranges=None, per_channel=False),
    "dynamic, 8 bits": replace(PLAIN, ranges=None, reduce_range=False),
    "fp32: attention": replace(SHIPPED, kept=partial(every_fourth, 0)),
    "fp32: attention output": replace(SHIPPED, kept=partial(every_fourth, 1)),
    "fp32: FFN's second": replace(SHIPPED, kept=partial(every_fourth, 3)),
    "fp32: last layer": replace(SHIPPED, kept=last_layer),
    "fp32: embeddings": replace(SHIPPED, kept=embeddings),
    "onnxruntime QDQ MinMax": Static(CalibrationMethod.MinMax, QuantFormat.QDQ),
    "onnxruntime QDQ Entropy": Static(CalibrationMethod.Entropy, QuantFormat.QDQ),
    "onnxruntime QDQ Percentile": Static(CalibrationMethod.Percentile, QuantFormat.QDQ),
    "onnxruntime QOperator MinMax": Static(CalibrationMethod.MinMax, QuantFormat.QOperator),
}
