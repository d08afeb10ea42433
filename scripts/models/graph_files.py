"""The files of an exported graph: <precision>.onnx, its external weights <precision>.onnx.data, and export.json."""

from __future__ import annotations

import collections
import json
from pathlib import Path
from typing import Any

from scripts.models.fetch import sha256_of


def is_reusable(onnx_dir: Path, inputs: dict[str, Any]) -> bool:
    """Return True if export.json records the same inputs and every graph still has its recorded sha256."""
    try:
        record = json.loads((onnx_dir / "export.json").read_text())
        graphs = record["graphs"].values()
        files = [*graphs, *(graph["weights"] for graph in graphs if "weights" in graph)]
        return bool(record["inputs"] == inputs) and all(
            sha256_of(onnx_dir / file["file"]) == file["sha256"] for file in files
        )
    except (OSError, ValueError, KeyError):
        return False


def describe_graph(graph: Path) -> dict[str, Any]:
    """Return file name, sha256, size, opset and operator counts of a graph, and of its external weights file."""
    import onnx

    model = onnx.load(graph, load_external_data=False)
    operators = collections.Counter(node.op_type for node in model.graph.node)
    return {
        **_describe_file(graph),
        **({"weights": _describe_file(weights_path(graph))} if weights_path(graph).is_file() else {}),
        "opset": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "nodes": len(model.graph.node),
        "operators": dict(operators.most_common()),
    }


def _describe_file(path: Path) -> dict[str, Any]:
    return {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}


def weights_path(graph: Path) -> Path:
    """Return the path of the external weights file of a graph."""
    return graph.with_name(f"{graph.name}.data")


def externalize_weights(graph: Path) -> None:
    """
    Move the weights of a graph into an external data file, which ONNX Runtime maps instead of parsing and copying.

    Word embeddings are half of a small model's weights. Only the pages that are used are read into memory.
    """
    import onnx

    if not weights_path(graph).is_file():  # weights over 2 GiB are external already
        model = onnx.load(graph)
        onnx.save(model, graph, save_as_external_data=True, location=weights_path(graph).name)


def install_graphs(record: dict[str, Any], graphs: list[Path], onnx_dir: Path) -> None:
    """Move the graphs into `onnx_dir`. export.json is removed first and written last: it vouches for the graphs."""
    onnx_dir.mkdir(exist_ok=True)
    (onnx_dir / "export.json").unlink(missing_ok=True)
    for graph in graphs:
        for path in (weights_path(graph), graph):
            if path.is_file():
                path.chmod(0o644)  # onnx writes external weights with mode 0600
                path.replace(onnx_dir / path.name)
    record_path = graphs[0].with_name("export.json")
    record_path.write_text(json.dumps(record, indent=2) + "\n")
    record_path.replace(onnx_dir / "export.json")
