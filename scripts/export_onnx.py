"""
Export models/<id>/ to onnx/fp32.onnx, onnx/int8.onnx and onnx/export.json; write nothing that fails parity.

Both graphs: input_ids, attention_mask int64 (batch, tokens) -> sentence_embedding float32 (batch, dimensions),
the masked mean and not normalised, and token_embeddings float32 (batch, tokens, dimensions).
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:  # seconds to import, and not needed to say "reused"
    from parity import F32, SearchTexts
    from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("numpy", "onnx", "onnxruntime", "onnxscript", "sentence-transformers", "torch", "transformers")
# What a graph must reach to be written. Search quality is the loss allowed against fp32, in parts of one.
LEAST_COSINE = {"fp32": {"mean": 0.999999, "min": 0.999999}, "int8": {"mean": 0.99, "min": 0.95}}
LEAST_COSINE_ALONE = {"fp32": 0.99999, "int8": 0.999}
MOST_QUALITY_LOST = 0.01


def sha256_of(path: Path) -> str:
    """The file's sha256, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inputs_of(folder: Path, entry: dict[str, Any], data: Path) -> dict[str, Any]:
    """Everything the graphs depend on: the model's files, this recipe, the texts it is judged by, the tools."""
    recipe = [Path(__file__), *(Path(__file__).with_name(name) for name in ("fp32.py", "int8.py", "parity.py"))]
    return {
        "source": {name: sha256_of(folder / name) for name in sorted(entry["files"])},
        "recipe": {path.name: sha256_of(path) for path in recipe},
        "data": sha256_of(data),
        "tools": {name: importlib.metadata.version(name) for name in TOOLS},
    }


def reusable(onnx_dir: Path, inputs: dict[str, Any]) -> bool:
    """Whether export.json was made from the same inputs and its graphs are still the bytes it names."""
    try:
        record = json.loads((onnx_dir / "export.json").read_text())
        graphs = record["graphs"].values()
        return bool(record["inputs"] == inputs) and all(
            sha256_of(onnx_dir / graph["file"]) == graph["sha256"] for graph in graphs
        )
    except (OSError, ValueError, KeyError):
        return False


def judge(
    graph: Path, precision: str, texts: SearchTexts, tokenizer: Tokenizer, reference: F32
) -> tuple[dict[str, Any], list[str]]:
    """
    Measure one graph: its parity and search quality, and what fell short.

    The reference is sentence-transformers' vectors of parity_texts(texts).
    """
    from parity import cosines, embed, open_session, parity_texts, search_quality

    session, sample = open_session(graph), parity_texts(texts)
    found = embed(session, tokenizer, sample)
    parity = {"reference": cosines(found, reference), "alone": cosines(found, embed(session, tokenizer, sample, 1))}
    passages, questions = (embed(session, tokenizer, these) for these in (texts.passages, texts.questions))
    faults = [
        f"{precision}: {which} cosine to the reference {parity['reference'][which]:.8f} < {least}"
        for which, least in LEAST_COSINE[precision].items()
        if not parity["reference"][which] >= least
    ]
    if not parity["alone"]["min"] >= LEAST_COSINE_ALONE[precision]:
        faults.append(f"{precision}: a text alone and in a batch differ: cosine {parity['alone']['min']:.8f}")
    return {"parity": parity, "search": search_quality(passages, questions, texts.answers)}, faults


def reference_vectors(folder: Path, max_input_tokens: int, texts: list[str]) -> F32:
    """What sentence-transformers itself answers: float32 (n, dimensions), unit vectors."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = max_input_tokens
    vectors: F32 = model.encode([text.strip() for text in texts], batch_size=16, normalize_embeddings=True)
    return vectors


def described(graph: Path) -> dict[str, Any]:
    """A graph's file, sha256, size and operators."""
    import onnx

    model = onnx.load(graph)
    operators = collections.Counter(node.op_type for node in model.graph.node)
    return {
        "file": graph.name,
        "sha256": sha256_of(graph),
        "bytes": graph.stat().st_size,
        "opset": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "nodes": len(model.graph.node),
        "operators": dict(operators.most_common()),
    }


def calibration_batches(texts: SearchTexts, tokenizer: Tokenizer) -> list[tuple[Any, Any]]:
    """Token batches of questions no search is scored on, every twelfth passage, its last word, and that repeated."""
    from parity import batches

    words = [passage.split()[-1] for passage in texts.passages[::12]]
    chosen = [*texts.unanswerable[::20], *texts.passages[::12], *words, *(f"{word} " * 100 for word in words[::5])]
    rows = [encoding.ids for encoding in tokenizer.encode_batch(chosen)]
    return [(ids, mask) for _, ids, mask in batches(rows, 16)]


def export(model: str, entry: dict[str, Any], folder: Path, data: Path, inputs: dict[str, Any]) -> list[str]:
    """Make, judge and, when nothing falls short, write one model's graphs; returns what fell short."""
    from fp32 import OPSET, fuse, trace
    from int8 import quantize
    from parity import parity_texts, read_squad, read_tokenizer

    if not json.loads((folder / "1_Pooling/config.json").read_text())["pooling_mode_mean_tokens"]:
        return [f"{model}: only mean pooling is exported"]
    config = json.loads((folder / "config.json").read_text())
    texts = read_squad(data, every=2, questions=2000)
    tokenizer = read_tokenizer(folder, entry["max_input_tokens"])
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as staging:
        plain, fp32, int8 = (Path(staging) / f"{name}.onnx" for name in ("plain", "fp32", "int8"))
        say(f"{model}: exporting, opset {OPSET}")
        trace(folder, plain)
        nodes = described(plain)["nodes"]
        fused = fuse(plain, fp32, config["num_attention_heads"], config["hidden_size"])
        say(f"{model}: fused: {nodes} nodes to {described(fp32)['nodes']} ({counted(fused)}); calibrating int8")
        quantize(fp32, int8, calibration_batches(texts, tokenizer))
        say(f"{model}: comparing with sentence-transformers")
        reference = reference_vectors(folder, entry["max_input_tokens"], parity_texts(texts))
        record: dict[str, Any] = {"model": model, "inputs": inputs, "nodes_before_fusion": nodes, "fused": fused}
        record["graphs"], faults = {}, []
        for graph in (fp32, int8):
            measured, short = judge(graph, graph.stem, texts, tokenizer, reference)
            record["graphs"][graph.stem] = described(graph) | measured
            faults += short
        faults += quality_lost(record["graphs"])
        show(record)
        if not faults:
            write(record, [fp32, int8], folder / "onnx")
    return faults


def quality_lost(graphs: dict[str, Any]) -> list[str]:
    """What int8 loses of fp32's search quality, where that is more than may be lost."""
    return [
        f"int8: {name} {graphs['int8']['search'][name]:.4f} is over {MOST_QUALITY_LOST} below fp32's {value:.4f}"
        for name, value in graphs["fp32"]["search"].items()
        if not graphs["int8"]["search"][name] >= value - MOST_QUALITY_LOST
    ]


def write(record: dict[str, Any], graphs: list[Path], onnx_dir: Path) -> None:
    """Move the graphs into place; the record that vouches for them goes first and comes last."""
    onnx_dir.mkdir(exist_ok=True)
    (onnx_dir / "export.json").unlink(missing_ok=True)
    for graph in graphs:
        graph.replace(onnx_dir / graph.name)
    written = graphs[0].with_name("export.json")
    written.write_text(json.dumps(record, indent=2) + "\n")
    written.replace(onnx_dir / "export.json")


def counted(operators: dict[str, int]) -> str:
    """Operator counts as words: "6 Attention, 12 SkipLayerNormalization"."""
    return ", ".join(f"{count} {name}" for name, count in operators.items())


def show(record: dict[str, Any]) -> None:
    """Print one line a graph: its size, parity and search quality."""
    say("graph      MB  nodes  cosine to reference: mean, min  alone and batched: min  hit@1   nDCG@10")
    for name, graph in record["graphs"].items():
        parity, search = graph["parity"], graph["search"]
        say(
            f"{name:5} {graph['bytes'] / 1e6:7.1f} {graph['nodes']:6d}"
            f"  {parity['reference']['mean']:19.8f}  {parity['reference']['min']:.8f}"
            f"  {parity['alone']['min']:22.8f}  {search['hit_at_1']:.4f}  {search['ndcg_at_10']:.4f}"
        )
        say(f"      {counted(graph['operators'])}")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def quiet() -> None:
    """Hold back the libraries' own notices; ours say what matters."""
    logging.disable(logging.WARNING)
    os.environ["TRANSFORMERS_VERBOSITY"], os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "error", "1"
    warnings.simplefilter("ignore")


def main(arguments: list[str] | None = None) -> int:
    """Export every dense model of the catalogue, or those named; 1 when one misses parity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="model ids (default: all)")
    parser.add_argument("--catalogue", type=Path, default=ROOT / "models.yaml")
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    parser.add_argument("--data", type=Path, default=ROOT / "bench/datasets/squad-v2-dev.json.gz")
    options = parser.parse_args(arguments)
    catalogue = yaml.safe_load(options.catalogue.read_text())["models"]
    faults = []
    for model in options.models or catalogue:
        folder = options.models_dir / model
        inputs = inputs_of(folder, catalogue[model], options.data)
        if reusable(folder / "onnx", inputs):
            say(f"{model}: ONNX graphs reused")
            continue
        quiet()
        faults += export(model, catalogue[model], folder, options.data, inputs)
    for fault in faults:
        print(f"export_onnx: {fault}; nothing written", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
