"""The exported graphs: what export.json says of them, their interface, and vectors that no batch changes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from gateways.core.models import catalog

ROOT = Path(__file__).resolve().parents[3]
MODELS = catalog.load(ROOT / "models.yaml").models
# Those of `make setup`, and the second one of the tests.
SET_UP = [model for model, entry in MODELS.items() if entry.setup]
EXPORTED = [*SET_UP, "all-mpnet-base-v2"]
GRAPHS = [(model, precision) for model in EXPORTED for precision in MODELS[model].precision]


def record(model: str) -> dict[str, Any]:
    """A model's export.json."""
    exported: dict[str, Any] = json.loads((ROOT / "models" / model / "onnx/export.json").read_text())
    return exported


def run(model: str, precision: str, rows: list[list[int]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both outputs for token rows, zero-padded to the longest."""
    path = ROOT / "models" / model / "onnx" / f"{precision}.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    longest = max(map(len, rows))
    ids = np.array([row + [0] * (longest - len(row)) for row in rows])
    mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    names = ["sentence_embedding", "token_embeddings"]
    pooled, tokens = session.run(names, {"input_ids": ids, "attention_mask": mask})
    return pooled, tokens


def cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The cosine of two vectors, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.mark.parametrize(("model", "precision"), GRAPHS)
def test_the_record_describes_the_files(model: str, precision: str) -> None:
    """export.json holds sha256 and size of each graph and of its weights, and of what they were made from."""
    exported, folder = record(model), ROOT / "models" / model / "onnx"
    graph = exported["graphs"][precision]

    assert [graph["file"], graph["weights"]["file"]] == [f"{precision}.onnx", f"{precision}.onnx.data"]
    for file in (graph, graph["weights"]):
        content = (folder / file["file"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["bytes"] == len(content)
    assert exported["inputs"]["source"] == MODELS[model].files


@pytest.mark.parametrize("model", EXPORTED)
def test_fp32_is_the_reference(model: str) -> None:
    """The fp32 graph that was written gives sentence-transformers' vectors."""
    assert record(model)["graphs"]["fp32"]["parity"]["reference"]["min"] > 0.999999


@pytest.mark.parametrize("model", SET_UP)
def test_int8_met_parity(model: str) -> None:
    """int8 is 0.99 of the reference on average, within a point of fp32's search."""
    fp32, int8 = (record(model)["graphs"][precision] for precision in ("fp32", "int8"))

    assert int8["parity"]["reference"]["mean"] >= 0.99
    for measure in ("hit_at_1", "ndcg_at_10"):
        assert int8["search"][measure] >= fp32["search"][measure] - 0.01


@pytest.mark.parametrize("model", SET_UP)
def test_the_graph_is_fused(model: str) -> None:
    """Attention and activations are one operator each, and no padding goes through the weights."""
    exported = record(model)
    layers = json.loads((ROOT / "models" / model / "config.json").read_text())["num_hidden_layers"]

    assert exported["fused"]["Attention"] == exported["fused"]["BiasGelu"] == layers
    assert exported["fused"]["SkipLayerNormalization"] == 2 * layers
    for graph in exported["graphs"].values():
        assert graph["operators"]["MultiHeadAttention"] == graph["operators"]["Gelu"] == layers
        assert {"Attention", "QAttention"}.isdisjoint(graph["operators"])


@pytest.mark.parametrize(("model", "precision"), GRAPHS)
def test_no_fusion_is_left_that_costs_more_than_it_saves(model: str, precision: str) -> None:
    """Residual norms and activations with a bias are plain operators again, which a CPU computes faster."""
    operators = record(model)["graphs"][precision]["operators"]

    assert operators["LayerNormalization"] > operators.get("SkipLayerNormalization", 0) == 0
    assert "BiasGelu" not in operators
    assert operators["Gelu"] > 0


@pytest.mark.parametrize(("model", "precision"), GRAPHS)
def test_the_interface_of_a_graph(model: str, precision: str) -> None:
    """ids and mask in; the masked mean of the token vectors, not normalised, and the token vectors out."""
    rows = [[101, 7592, 2088, 102], [101, 2054, 2003, 1996, 3007, 1997, 2605, 1029, 102]]

    pooled, tokens = run(model, precision, rows)

    dimensions = MODELS[model].dimensions
    assert pooled.shape == (2, dimensions)
    assert tokens.shape == (2, 9, dimensions)
    assert pooled.dtype == tokens.dtype == np.float32
    for i, row in enumerate(rows):
        np.testing.assert_allclose(pooled[i], tokens[i, : len(row)].mean(axis=0), atol=1e-5)
    assert not np.allclose(np.linalg.norm(pooled, axis=1), 1, atol=0.01)


@pytest.mark.parametrize(("model", "precision"), GRAPHS)
def test_a_text_has_one_vector_alone_and_in_any_batch(model: str, precision: str) -> None:
    """Neither padding nor what else is in the batch changes a vector: cosine > 0.99999, int8 too."""
    random = np.random.default_rng(0)
    rows = [[101, *random.integers(1000, 28000, n).tolist(), 102] for n in (1, 3, 8, 14, 40, 120, 254)]

    together, _ = run(model, precision, rows)

    for row, vector in zip(rows, together, strict=True):
        [alone], _ = run(model, precision, [row])
        assert cosine(alone, vector) > 0.99999


def test_a_second_export_reuses_the_graphs() -> None:
    """With nothing changed the script says "reused" and writes nothing."""
    before = {model: (ROOT / "models" / model / "onnx/export.json").stat().st_mtime_ns for model in SET_UP}

    done = subprocess.run(
        [sys.executable, "-m", "scripts.models.export_onnx"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{model}: ONNX graphs reused" for model in SET_UP]
    assert before == {model: (ROOT / "models" / model / "onnx/export.json").stat().st_mtime_ns for model in SET_UP}


def test_a_model_that_is_not_here_is_said_to_be_fetched_first() -> None:
    """Exporting what was never fetched names the command that fetches it, and writes nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.models.export_onnx", "bge-small-en-v1.5", "--models-dir", "nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert "make models MODEL=bge-small-en-v1.5" in done.stderr
    assert not (ROOT / "nowhere").exists()
