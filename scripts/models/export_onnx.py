"""
Export models/<id>/ to onnx/<precision>.onnx and onnx/export.json. A graph that fails parity is not written.

    python -m scripts.models.export_onnx [id or alias ...]

Inputs of every graph: input_ids and attention_mask, int64 (batch, tokens). A cross-encoder may also take
token_type_ids. Outputs are float32:

    dense          sentence_embedding (batch, dimensions), pooled, not normalised;
                   token_embeddings (batch, tokens, dimensions)
    sparse         sparse_embedding (batch, vocabulary)
    cross-encoder  logits (batch, 1)
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateways.core.models import catalog
from gateways.core.models.catalog import CatalogError, Located
from scripts.models.fetch import expected_hashes, select_models, sha256_of
from scripts.models.graph_files import describe_graph, externalize_weights, install_graphs, is_reusable

if TYPE_CHECKING:  # these imports take seconds, and a run that reuses all graphs does not need them
    from tokenizers import Tokenizer

    from scripts.models.acceptance import Verdict
    from scripts.models.parity import SearchTexts

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("numpy", "onnx", "onnxruntime", "onnxscript", "sentence-transformers", "torch", "transformers")
RECIPE = (
    "export_onnx.py",
    "graph_files.py",
    "onnx_graphs.py",
    "fp32_graph.py",
    "int8_graph.py",
    "remove_padding.py",
    "undo_fusions.py",
    "acceptance.py",
    "parity.py",
)
# Number of passages and of questions that a graph is compared on: with fp32 only, and with int8 too.
SAMPLE_FP32, SAMPLE_INT8 = 16, 100


def collect_inputs(located: Located, data: Path) -> dict[str, Any]:
    """Return all that the graphs depend on: hashes of model files, recipe and texts; catalogue entry; versions."""
    folder, entry = located.folder, located.entry
    names = expected_hashes(entry, folder) or [path.name for path in folder.iterdir() if path.is_file()]
    return {
        "source": {name: sha256_of(folder / name) for name in sorted(names)},
        "catalogue": {
            "pooling": entry.pooling,
            "precisions": graph_precisions(located),
            "max_input_tokens": located.info.max_input_tokens,
        },
        "recipe": {name: sha256_of(Path(__file__).with_name(name)) for name in RECIPE},
        "data": sha256_of(data),
        "tools": {name: importlib.metadata.version(name) for name in TOOLS},
    }


def graph_precisions(located: Located) -> list[str]:
    """Return the precisions to export: fp32, and int8 for a dense model whose catalogue entry lists it."""
    int8 = located.info.kind == "dense" and "int8" in located.entry.precision
    return ["fp32", "int8"] if int8 else ["fp32"]


def calibration_batches(texts: SearchTexts, tokenizer: Tokenizer) -> list[tuple[Any, Any]]:
    """
    Return token batches (ids, mask) that int8 ranges are calibrated on; search is not scored on their questions.

    The texts: every 20th unanswerable question, every 12th passage, its last word, and some of these words repeated.
    """
    from scripts.models.parity import batches

    words = [passage.split()[-1] for passage in texts.passages[::12]]
    sample = [*texts.unanswerable[::20], *texts.passages[::12], *words, *(f"{word} " * 100 for word in words[::5])]
    rows = [encoding.ids for encoding in tokenizer.encode_batch(sample)]
    return [(ids, mask) for _, ids, mask in batches(rows, 16)]


def export_model(located: Located, data: Path, inputs: dict[str, Any]) -> list[str]:
    """Export and judge one model; write its graphs if all thresholds are met. Returns the thresholds missed."""
    from scripts.models.onnx_graphs import UnsupportedModel
    from scripts.models.parity import read_squad

    model, folder = located.info.id, located.folder
    texts = read_squad(data, every=2, questions=2000)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as staging:
        try:
            record: dict[str, Any] = {"model": model, "inputs": inputs} | trace_model(located, Path(staging))
        except UnsupportedModel as error:
            return [f"{model}: {error}"]
        print_line(f"{model}: comparing with sentence-transformers")
        record["graphs"], faults = judge_graphs(located, Path(staging), texts)
        print_record(record)
        if not faults:
            graphs = [Path(staging) / f"{name}.onnx" for name in graph_precisions(located)]
            install_graphs(record, graphs, folder / "onnx")
    return [f"{model}: {fault}" for fault in faults]


def trace_model(located: Located, staging: Path) -> dict[str, Any]:
    """Write fp32.onnx. Returns the node count before fusion and the fused operators. Raises UnsupportedModel."""
    from scripts.models import fp32_graph, onnx_graphs

    model, folder, kind = located.info.id, located.folder, located.info.kind
    plain, fused = staging / "plain.onnx", staging / "fp32.onnx"
    config = json.loads((folder / "config.json").read_text())
    pooling = (located.entry.pooling or onnx_graphs.read_pooling(folder)) if kind == "dense" else None
    print_line(f"{model}: exporting, opset {fp32_graph.OPSET}")
    if (config["model_type"], pooling) == ("bert", "mean"):
        fp32_graph.trace(folder, plain)
        nodes = describe_graph(plain)["nodes"]
        operators = fp32_graph.fuse(plain, fused, config["num_attention_heads"], config["hidden_size"])
    else:
        recipe = onnx_graphs.build_recipe(kind, folder, pooling)
        onnx_graphs.trace(recipe, plain, located.info.max_input_tokens)
        nodes = describe_graph(plain)["nodes"]
        operators = onnx_graphs.fuse(recipe, folder, plain, fused)
    counts = format_counts(operators) or "no fused operator"
    print_line(f"{model}: fused {nodes} nodes to {describe_graph(fused)['nodes']} ({counts})")
    return {"nodes_before_fusion": nodes, "fused": operators}


def judge_graphs(located: Located, staging: Path, texts: SearchTexts) -> Verdict:
    """Describe and measure every graph. Returns export.json's "graphs", and the thresholds missed."""
    from scripts.models.acceptance import judge_rerank, judge_sparse
    from scripts.models.undo_fusions import unfuse

    if located.info.kind == "dense":
        return judge_dense_graphs(located, staging, texts)
    judge = judge_sparse if located.info.kind == "sparse" else judge_rerank
    graph = staging / "fp32.onnx"
    unfuse(graph)
    externalize_weights(graph)
    measurements, faults = judge(graph, located.folder, located.info.max_input_tokens, texts)
    return {"fp32": describe_graph(graph) | measurements}, faults


def judge_dense_graphs(located: Located, staging: Path, texts: SearchTexts) -> Verdict:
    """Like `judge_graphs`, for a dense model: int8 is made here, and must search as well as fp32 does."""
    from scripts.models.acceptance import encode_reference, find_quality_losses, judge_dense, measure_search
    from scripts.models.int8_graph import quantize
    from scripts.models.parity import parity_texts, read_tokenizer
    from scripts.models.remove_padding import unpad
    from scripts.models.undo_fusions import unfuse

    limit, precisions = located.info.max_input_tokens, graph_precisions(located)
    tokenizer = read_tokenizer(located.folder, limit)
    if "int8" in precisions:
        print_line(f"{located.info.id}: calibrating int8")
        quantize(staging / "fp32.onnx", staging / "int8.onnx", calibration_batches(texts, tokenizer))
    sample = parity_texts(texts, SAMPLE_INT8 if "int8" in precisions else SAMPLE_FP32)
    reference = encode_reference(located.folder, located.entry, limit, sample)
    graphs: dict[str, Any] = {}
    faults: list[str] = []
    for name in precisions:
        graph = staging / f"{name}.onnx"
        unfuse(graph)
        unpad(graph)
        externalize_weights(graph)
        measurements, graph_faults = judge_dense(graph, name, tokenizer, sample, reference)
        graphs[name] = describe_graph(graph) | measurements
        faults += graph_faults
        if "int8" in precisions:
            graphs[name]["search"] = measure_search(graph, texts, tokenizer)
    if "int8" in precisions:
        faults += find_quality_losses(graphs)
    return graphs, faults


def format_counts(operators: dict[str, int]) -> str:
    """Return operator counts as text: "6 Attention, 12 SkipLayerNormalization"."""
    return ", ".join(f"{count} {name}" for name, count in operators.items())


def print_record(record: dict[str, Any]) -> None:
    """Print the size, operators and measurements of each graph."""
    for name, graph in record["graphs"].items():
        megabytes = (graph["bytes"] + graph["weights"]["bytes"]) / 1e6
        print_line(f"{name}: {megabytes:.1f} MB, {graph['nodes']} nodes: {format_counts(graph['operators'])}")
        for comparison, values in {**graph["parity"], "search": graph.get("search", {})}.items():
            if values:
                figures = ", ".join(f"{key} {value:.8g}" for key, value in values.items())
                print_line(f"      {COMPARISONS[comparison]}: {figures}")


COMPARISONS = {
    "reference": "against sentence-transformers",
    "alone": "a text alone and in a batch",
    "search": "search",
}


def print_line(text: str) -> None:
    """Print without buffering, so that progress appears in a pipe too."""
    print(text, flush=True)


def silence_libraries() -> None:
    """Turn off the warnings and progress bars of transformers and the hub client."""
    logging.disable(logging.WARNING)
    os.environ["TRANSFORMERS_VERBOSITY"], os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "error", "1"
    warnings.simplefilter("ignore")


def main(arguments: list[str] | None = None) -> int:
    """Export the models in `arguments`, or those of `make setup`. Returns exit status 1 if one misses parity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="ids or aliases (default: those with `setup: true`)")
    parser.add_argument("--catalogue", type=Path, default=ROOT / "models.yaml")
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    parser.add_argument("--data", type=Path, default=ROOT / "bench/datasets/squad-v2-dev.json.gz")
    options = parser.parse_args(arguments)
    faults = []
    try:
        models = catalog.load(options.catalogue)
        for model in select_models(models, options.models):
            if models.models[model].engine != "transformer":
                continue
            located = models.locate(options.models_dir, model, "model.safetensors", precision="fp32", device="cpu")
            inputs = collect_inputs(located, options.data)
            if is_reusable(located.folder / "onnx", inputs):
                print_line(f"{model}: ONNX graphs reused")
                continue
            silence_libraries()
            faults += export_model(located, options.data, inputs)
    except CatalogError as error:
        faults.append(str(error))
    for fault in faults:
        print(f"export_onnx: {fault}; nothing written", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
