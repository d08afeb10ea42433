"""MiniLM's graph with two words added on which the runtime itself breaks: one raises an error, one never ends."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper

from bench import paths

MODEL = "all-MiniLM-L6-v2"
RAISES, HANGS = "poison", "abyss"
OUTPUT = "sentence_embedding"
TURNS = 10**15  # of a loop that does nothing: for ever


def catalogue(folder: Path) -> Path:
    """Write the model and a catalogue of it alone; what any other text is embedded as does not change."""
    weights = paths.models_dir() / MODEL
    model = folder / "fragile"
    # The record of the export has the hash of the graph that is changed here.
    unused = shutil.ignore_patterns("*.safetensors", "int8*", ".measured", "export.json")
    shutil.copytree(weights, model, ignore=unused)
    graph = onnx.load(weights / "onnx" / "fp32.onnx", load_external_data=False)
    _break(graph.graph, tokenizers.Tokenizer.from_file(str(model / "tokenizer.json")))
    onnx.save(graph, model / "onnx" / "fp32.onnx")
    written = folder / "models.yaml"
    written.write_text(f"models:\n  fragile: {{kind: dense, sources: [{{path: '{model}'}}]}}\n")
    return written


def _break(graph: onnx.GraphProto, tokenizer: tokenizers.Tokenizer) -> None:
    for node in graph.node:
        node.output[:] = [f"{name}_before" if name == OUTPUT else name for name in node.output]
    for name, value in (("one_zero", [0.0]), ("float_zero", 0.0), ("all_axes", [0, 1])):
        kind = np.int64 if name == "all_axes" else np.float32
        graph.initializer.append(numpy_helper.from_array(np.array(value, kind), name))
    for word in (RAISES, HANGS):
        token = tokenizer.token_to_id(word)
        graph.initializer.append(numpy_helper.from_array(np.array(token, np.int64), f"{word}_id"))
        graph.node.extend(
            [
                helper.make_node("Equal", ["input_ids", f"{word}_id"], [f"{word}_is"]),
                helper.make_node("Cast", [f"{word}_is"], [f"{word}_as_int"], to=TensorProto.INT64),
                helper.make_node("ReduceMax", [f"{word}_as_int", "all_axes"], [f"{word}_there"], keepdims=0),
            ]
        )
    # The second of one element, where the word is there.
    graph.node.append(helper.make_node("Gather", ["one_zero", f"{RAISES}_there"], ["raises"]))
    graph.initializer.append(numpy_helper.from_array(np.array(TURNS, np.int64), "turns"))
    graph.node.append(helper.make_node("Mul", [f"{HANGS}_there", "turns"], ["turns_now"]))
    graph.node.append(helper.make_node("Loop", ["turns_now", "", "float_zero"], ["hangs"], body=_idle()))
    graph.node.append(helper.make_node("Add", ["raises", "hangs"], ["nothing"]))
    graph.node.append(helper.make_node("Add", [f"{OUTPUT}_before", "nothing"], [OUTPUT]))


def _idle() -> onnx.GraphProto:
    scalar = [("turn", TensorProto.INT64), ("go_on", TensorProto.BOOL), ("sum", TensorProto.FLOAT)]
    inputs = [helper.make_tensor_value_info(name, kind, []) for name, kind in scalar]
    outputs = [
        helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("sum_then", TensorProto.FLOAT, []),
    ]
    nodes = [helper.make_node("Identity", ["go_on"], ["goes_on"]), helper.make_node("Neg", ["sum"], ["sum_then"])]
    return helper.make_graph(nodes, "idle", inputs, outputs)
