"""
Export models/<id>/ to onnx/<precision>.onnx and onnx/export.json; write nothing that fails parity.

Every graph takes input_ids and attention_mask, int64 (batch, tokens), and gives float32:
a dense model's sentence_embedding (batch, dimensions), pooled and not normalised, and token_embeddings (batch,
tokens, dimensions); a sparse one's sparse_embedding (batch, vocabulary); a cross-encoder's logits (batch, 1), for
which it may also take token_type_ids.
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fetch_models import chosen, expected, sha256_of

from gateways.core import catalog
from gateways.core.catalog import CatalogError, Located

if TYPE_CHECKING:  # seconds to import, and not needed to say "reused"
    from judges import Verdict
    from parity import SearchTexts
    from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("numpy", "onnx", "onnxruntime", "onnxscript", "sentence-transformers", "torch", "transformers")
RECIPE = ("export_onnx.py", "fp32.py", "graphs.py", "int8.py", "judges.py", "parity.py", "unfuse.py", "unpad.py")
# Texts of each kind that a graph is compared on; more where int8 is judged, which is small models.
FEW, MANY = 16, 100


def inputs_of(located: Located, data: Path) -> dict[str, Any]:
    """Everything the graphs depend on: the model's files, the catalogue, this recipe, its texts and tools."""
    folder, entry = located.folder, located.entry
    names = expected(entry, folder) or [path.name for path in folder.iterdir() if path.is_file()]
    return {
        "source": {name: sha256_of(folder / name) for name in sorted(names)},
        "catalogue": {
            "pooling": entry.pooling,
            "precisions": precisions(located),
            "max_input_tokens": located.info.max_input_tokens,
        },
        "recipe": {name: sha256_of(Path(__file__).with_name(name)) for name in RECIPE},
        "data": sha256_of(data),
        "tools": {name: importlib.metadata.version(name) for name in TOOLS},
    }


def precisions(located: Located) -> list[str]:
    """The graphs to make: fp32, and of a dense model int8 where the catalogue has it."""
    int8 = located.info.kind == "dense" and "int8" in located.entry.precision
    return ["fp32", "int8"] if int8 else ["fp32"]


def reusable(onnx_dir: Path, inputs: dict[str, Any]) -> bool:
    """Whether export.json was made from the same inputs and its graphs are still the bytes it names."""
    try:
        record = json.loads((onnx_dir / "export.json").read_text())
        graphs = record["graphs"].values()
        files = [*graphs, *(graph["weights"] for graph in graphs if "weights" in graph)]
        return bool(record["inputs"] == inputs) and all(
            sha256_of(onnx_dir / file["file"]) == file["sha256"] for file in files
        )
    except (OSError, ValueError, KeyError):
        return False


def described(graph: Path) -> dict[str, Any]:
    """A graph's file, sha256, size and operators; its weights, which lie beside it, have a sha256 of their own."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    operators = collections.Counter(node.op_type for node in model.graph.node)
    return {
        **_file(graph),
        **({"weights": _file(beside(graph))} if beside(graph).is_file() else {}),
        "opset": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "nodes": len(model.graph.node),
        "operators": dict(operators.most_common()),
    }


def _file(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}


def beside(graph: Path) -> Path:
    """Where the weights of a graph lie."""
    return graph.with_name(f"{graph.name}.data")


def set_apart(graph: Path) -> None:
    """
    Put a graph's weights into a file beside it, which is mapped and not read: nothing is parsed, and copied twice.

    Of the words, half of a small model's weights, only the pages that texts need come into memory.
    """
    import onnx

    if not beside(graph).is_file():  # those of over 2 GiB lie there already
        model = onnx.load(graph)
        onnx.save(model, graph, save_as_external_data=True, location=beside(graph).name)


def calibration_batches(texts: SearchTexts, tokenizer: Tokenizer) -> list[tuple[Any, Any]]:
    """Token batches of questions no search is scored on, every twelfth passage, its last word, and that repeated."""
    from parity import batches

    words = [passage.split()[-1] for passage in texts.passages[::12]]
    chosen = [*texts.unanswerable[::20], *texts.passages[::12], *words, *(f"{word} " * 100 for word in words[::5])]
    rows = [encoding.ids for encoding in tokenizer.encode_batch(chosen)]
    return [(ids, mask) for _, ids, mask in batches(rows, 16)]


def export(located: Located, data: Path, inputs: dict[str, Any]) -> list[str]:
    """Make, judge and, when nothing falls short, write one model's graphs; returns what fell short."""
    from graphs import Unsupported
    from parity import read_squad

    model, folder = located.info.id, located.folder
    texts = read_squad(data, every=2, questions=2000)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as staging:
        try:
            record: dict[str, Any] = {"model": model, "inputs": inputs} | traced(located, Path(staging))
        except Unsupported as error:
            return [f"{model}: {error}"]
        say(f"{model}: comparing with sentence-transformers")
        record["graphs"], faults = judged(located, Path(staging), texts)
        show(record)
        if not faults:
            write(record, [Path(staging) / f"{name}.onnx" for name in precisions(located)], folder / "onnx")
    return [f"{model}: {fault}" for fault in faults]


def traced(located: Located, staging: Path) -> dict[str, Any]:
    """Write fp32.onnx; returns how many operators fusion made of how many. Raises Unsupported."""
    import fp32
    import graphs

    model, folder, kind = located.info.id, located.folder, located.info.kind
    plain, fused = staging / "plain.onnx", staging / "fp32.onnx"
    config = json.loads((folder / "config.json").read_text())
    pooling = (located.entry.pooling or graphs.own_pooling(folder)) if kind == "dense" else None
    say(f"{model}: exporting, opset {fp32.OPSET}")
    if (config["model_type"], pooling) == ("bert", "mean"):
        fp32.trace(folder, plain)
        nodes = described(plain)["nodes"]
        operators = fp32.fuse(plain, fused, config["num_attention_heads"], config["hidden_size"])
    else:
        made = graphs.recipe(kind, folder, pooling)
        graphs.trace(made, plain, located.info.max_input_tokens)
        nodes = described(plain)["nodes"]
        operators = graphs.fuse(made, folder, plain, fused)
    say(f"{model}: fused: {nodes} nodes to {described(fused)['nodes']} ({counted(operators) or 'nothing known'})")
    return {"nodes_before_fusion": nodes, "fused": operators}


def judged(located: Located, staging: Path, texts: SearchTexts) -> Verdict:
    """Describe and measure every graph, int8 made of fp32 on the way; what fell short."""
    from judges import judge_rerank, judge_sparse
    from unfuse import unfuse

    if located.info.kind == "dense":
        return judged_dense(located, staging, texts)
    judge = judge_sparse if located.info.kind == "sparse" else judge_rerank
    graph = staging / "fp32.onnx"
    unfuse(graph)
    set_apart(graph)
    measured, faults = judge(graph, located.folder, located.info.max_input_tokens, texts)
    return {"fp32": described(graph) | measured}, faults


def judged_dense(located: Located, staging: Path, texts: SearchTexts) -> Verdict:
    """As `judged`, for dense models, whose int8 is also held to the search quality of their fp32."""
    from int8 import quantize
    from judges import judge_dense, quality_lost, reference_vectors, searched
    from parity import parity_texts, read_tokenizer
    from unfuse import unfuse
    from unpad import unpad

    limit, wanted = located.info.max_input_tokens, precisions(located)
    tokenizer = read_tokenizer(located.folder, limit)
    if "int8" in wanted:
        say(f"{located.info.id}: calibrating int8")
        quantize(staging / "fp32.onnx", staging / "int8.onnx", calibration_batches(texts, tokenizer))
    sample = parity_texts(texts, MANY if "int8" in wanted else FEW)
    reference = reference_vectors(located.folder, located.entry, limit, sample)
    graphs: dict[str, Any] = {}
    faults: list[str] = []
    for name in wanted:
        graph = staging / f"{name}.onnx"
        unfuse(graph)
        unpad(graph)
        set_apart(graph)
        measured, short = judge_dense(graph, name, tokenizer, sample, reference)
        graphs[name] = described(graph) | measured
        faults += short
        if "int8" in wanted:
            graphs[name]["search"] = searched(graph, texts, tokenizer)
    if "int8" in wanted:
        faults += quality_lost(graphs)
    return graphs, faults


def write(record: dict[str, Any], graphs: list[Path], onnx_dir: Path) -> None:
    """Move the graphs into place; the record that vouches for them goes first and comes last."""
    onnx_dir.mkdir(exist_ok=True)
    (onnx_dir / "export.json").unlink(missing_ok=True)
    for graph in graphs:
        for path in (beside(graph), graph):
            if path.is_file():
                path.chmod(0o644)  # weights beside a graph are written for their owner alone
                path.replace(onnx_dir / path.name)
    written = graphs[0].with_name("export.json")
    written.write_text(json.dumps(record, indent=2) + "\n")
    written.replace(onnx_dir / "export.json")


def counted(operators: dict[str, int]) -> str:
    """Operator counts as words: "6 Attention, 12 SkipLayerNormalization"."""
    return ", ".join(f"{count} {name}" for name, count in operators.items())


def show(record: dict[str, Any]) -> None:
    """Print what was measured of each graph."""
    for name, graph in record["graphs"].items():
        megabytes = (graph["bytes"] + graph["weights"]["bytes"]) / 1e6
        say(f"{name}: {megabytes:.1f} MB, {graph['nodes']} nodes: {counted(graph['operators'])}")
        for what, measured in {**graph["parity"], "search": graph.get("search", {})}.items():
            if measured:
                said = ", ".join(f"{key} {value:.8g}" for key, value in measured.items())
                say(f"      {SAID[what]}: {said}")


SAID = {"reference": "against sentence-transformers", "alone": "a text alone and in a batch", "search": "search"}


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def quiet() -> None:
    """Hold back the libraries' own notices; ours say what matters."""
    logging.disable(logging.WARNING)
    os.environ["TRANSFORMERS_VERBOSITY"], os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "error", "1"
    warnings.simplefilter("ignore")


def main(arguments: list[str] | None = None) -> int:
    """Export the models named, or those of `make setup`; 1 when one misses parity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="ids or aliases (default: those with `setup: true`)")
    parser.add_argument("--catalogue", type=Path, default=ROOT / "models.yaml")
    parser.add_argument("--models-dir", type=Path, default=ROOT / "models")
    parser.add_argument("--data", type=Path, default=ROOT / "bench/datasets/squad-v2-dev.json.gz")
    options = parser.parse_args(arguments)
    faults = []
    try:
        models = catalog.load(options.catalogue)
        for model in chosen(models, options.models):
            if models.models[model].engine != "transformer":
                continue
            located = models.locate(options.models_dir, model, "model.safetensors", precision="fp32", device="cpu")
            inputs = inputs_of(located, options.data)
            if reusable(located.folder / "onnx", inputs):
                say(f"{model}: ONNX graphs reused")
                continue
            quiet()
            faults += export(located, options.data, inputs)
    except CatalogError as error:
        faults.append(str(error))
    for fault in faults:
        print(f"export_onnx: {fault}; nothing written", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
