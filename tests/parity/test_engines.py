"""
Both runtimes' engines against sentence-transformers, model by model, in this process; two of them over HTTP.

The cross-encoders and sparse models are made here (`made.py`): no released one can be had without a hub.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bench.datasets import squad
from gateways.core import catalog
from gateways.core.backend import F32, SparseVector
from gateways.core.settings import Settings
from tests.parity.test_parity import skip_unless_asked_for
from tests.processes import ROOT, describe

RUNTIMES = ("python", "onnx_py")
GATEWAYS = (*RUNTIMES, "split")
CROSS_ENCODERS = ("minilm-cross-encoder", "xlm-roberta-cross-encoder")
SPARSE = ("minilm-sparse", "distilbert-sparse")
DENSE = ("qwen3", "bert-cls")
MPNET = "all-mpnet-base-v2"
# Of the golden texts: those that tokenise unlike plain words, and those that are cut.
HARD = (
    "one-letter",
    "code",
    "accents",
    "mixed-scripts",
    "right-to-left",
    "emoji",
    "control-characters",
    "long-word",
    "whitespace-around",
    "special-tokens",
    "10000-words",
)
MOST_DIFFERENCE = 1e-4
SAME = 0.99999

# torch and its friends deprecate things of each other at import; that is not what is tested here.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Models:
    """A catalogue and the folder of its fetched and exported models."""

    file: Path
    folder: Path

    def engine(self, runtime: str, model: str) -> Any:
        """Load a model as a gateway does."""
        from importlib import import_module

        module = import_module(f"gateways.{runtime}.model")
        settings = Settings(models_file=self.file, models_dir=self.folder, device="cpu")
        return module.load(module.locate(model, catalog.load(self.file), settings), settings)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Make the models, and fetch and export them by the scripts that users run."""
    from tests.parity.made import MADE, make

    folder = tmp_path_factory.mktemp("made")
    models = Models(make(folder), folder / "models")
    for script in ("fetch_models.py", "export_onnx.py"):
        command = [sys.executable, f"scripts/{script}", "--catalogue", str(models.file)]
        command += ["--models-dir", str(models.folder), *MADE]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603
        assert done.returncode == 0, done.stdout + done.stderr
    return models


@pytest.fixture(scope="module")
def ours() -> Models:
    """Return this project's own catalogue."""
    models = Models(ROOT / "models.yaml", ROOT / "models")
    for file in ("model.safetensors", "onnx/fp32.onnx"):
        assert (models.folder / MPNET / file).is_file(), f"run `make models MODEL={MPNET}`"
    return models


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Return passages, questions and what real traffic holds besides: emoji, scripts, control characters, length."""
    data = squad.load()
    golden = json.loads((ROOT / "tests" / "contract" / "golden.json").read_text(encoding="utf-8"))
    hard = {case["name"]: case["text"] * case.get("repeat", 1) for case in golden["cases"]}
    questions = [question.text for question in data.answerable[::1500]]
    return [*list(data.passages.values())[::240], *questions, *(hard[name] for name in HARD)]


@pytest.fixture(scope="module")
def pairs(texts: list[str]) -> dict[str, list[str]]:
    """Return documents by query; some of either, and some of both, have to be cut."""
    long = " ".join(texts[:6])
    return {"who was first?": [*texts, ""], texts[0]: [*texts[:3], long], long: [texts[1], long, ""], "": texts[:2]}


def in_batches(run: Any, rows: list[Any], seed: int) -> list[Any]:
    """Run rows in a random order and in batches of random sizes; the answers in the order of the rows."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(rows)).tolist()
    answers: dict[int, Any] = {}
    while order:
        chosen, order = order[: (size := int(random.integers(1, 12)))], order[size:]
        answers.update(zip(chosen, run([rows[at] for at in chosen]), strict=True))
    return [answers[at] for at in range(len(rows))]


def filled(vectors: list[SparseVector], dimensions: int) -> F32:
    """Write sparse vectors out in full, (n, dimensions)."""
    full = np.zeros((len(vectors), dimensions), np.float32)
    for row, vector in zip(full, vectors, strict=True):
        row[vector.indices] = vector.values
    return full


def cosines(a: F32, b: F32) -> F32:
    """Row by row cosine of (n, d) and (n, d): (n,)."""
    dots = np.einsum("ij,ij->i", a.astype(np.float64), b.astype(np.float64))
    return np.asarray(dots / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)), dtype=np.float32)


@pytest.mark.parametrize("model", CROSS_ENCODERS)
def test_a_cross_encoder_scores_as_sentence_transformers_does(
    made: Models, pairs: dict[str, list[str]], model: str
) -> None:
    """Logits within 0.0001 of CrossEncoder.predict, whatever shares a batch, with queries and documents cut."""
    import torch
    from sentence_transformers import CrossEncoder

    reference = CrossEncoder(str(made.folder / model), device="cpu")
    reference.max_seq_length = 512
    asked = [(query, document) for query, documents in pairs.items() for document in documents]
    expected = reference.predict(asked, batch_size=4, activation_fn=torch.nn.Identity())
    assert expected.std() > 0.1, "logits that are all alike would prove nothing"

    for runtime in RUNTIMES:
        engine = made.engine(runtime, model)
        rows = [pair for query, documents in pairs.items() for pair in engine.texts.pairs(query, documents, "END")]
        found = np.array(in_batches(engine.predict, rows, seed=1))

        difference = float(np.abs(found - expected).max())
        print(
            f"{runtime}, {model}: most difference {difference:.1e} over {len(rows)} pairs, std {expected.std():.2f}"
        )
        assert max(map(len, rows)) == 512
        assert difference <= MOST_DIFFERENCE


@pytest.mark.parametrize("model", SPARSE)
def test_a_sparse_model_weighs_as_sentence_transformers_does(made: Models, texts: list[str], model: str) -> None:
    """Weights within 0.0001 of SparseEncoder.encode, whatever shares a batch; indices ascend, weights are over 0."""
    from sentence_transformers import SparseEncoder

    reference = SparseEncoder(str(made.folder / model), device="cpu")
    reference.max_seq_length = 256
    expected = reference.encode(texts, batch_size=4, convert_to_sparse_tensor=False).numpy()
    assert expected.max() > 0.1, "weights that are all 0 would prove nothing"

    for runtime in RUNTIMES:
        engine = made.engine(runtime, model)
        found = in_batches(engine.encode, engine.texts.tokenize(texts, "END"), seed=2)

        difference = float(np.abs(filled(found, engine.info.dimensions) - expected).max())
        active = np.mean([len(vector.indices) for vector in found])
        print(
            f"{runtime}, {model}: most difference {difference:.1e}, {active:.0f} of {expected.shape[1]} words a text"
        )
        assert engine.info.dimensions == expected.shape[1]
        assert 0 < active < expected.shape[1] / 5
        assert difference <= MOST_DIFFERENCE
        for vector in found:
            assert (np.diff(vector.indices.astype(np.int64)) > 0).all()
            assert (vector.values > 0).all()


@pytest.mark.parametrize("model", DENSE)
def test_pooling_by_the_first_and_by_the_last_token(made: Models, texts: list[str], model: str) -> None:
    """The catalogue's `pooling` is obeyed: cosine at least 0.99999 to sentence-transformers pooled the same way."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    encoder = Transformer(str(made.folder / model), max_seq_length=512)
    pooling = Pooling(encoder.get_embedding_dimension(), {"qwen3": "lasttoken", "bert-cls": "cls"}[model])
    expected = SentenceTransformer(modules=[encoder, pooling], device="cpu").encode(texts, batch_size=4)

    for runtime in RUNTIMES:
        engine = made.engine(runtime, model)
        found = np.stack(in_batches(engine.encode, engine.texts.tokenize(texts, "END"), seed=3))

        nearest = cosines(found, expected)
        print(f"{runtime}, {model}: cosine min {nearest.min():.7f}")
        assert nearest.min() >= SAME


@pytest.mark.parametrize("model", ["all-MiniLM-L6-v2", MPNET])
def test_vectors_and_token_vectors_of_the_released_models(ours: Models, texts: list[str], model: str) -> None:
    """Real weights: texts, and every token of them, at cosine 0.99999 or more to sentence-transformers' own."""
    from sentence_transformers import SentenceTransformer

    texts = texts[::2] if model == MPNET else texts  # eight times the work of MiniLM
    reference = SentenceTransformer(str(ours.folder / model), device="cpu")
    expected = reference.encode(texts, batch_size=4)
    states = reference.encode(texts, output_value="token_embeddings", batch_size=4)

    for runtime in RUNTIMES:
        engine = ours.engine(runtime, model)
        rows = engine.texts.tokenize(texts, "END")
        nearest = cosines(np.stack(in_batches(engine.encode, rows, seed=4)), expected)
        tokens = in_batches(engine.encode_tokens, rows, seed=5)

        each = cosines(np.concatenate(tokens), np.concatenate([row.numpy() for row in states]))
        print(f"{runtime}, {model}: cosine min {nearest.min():.7f}; of {len(each)} tokens {each.min():.7f}")
        assert [len(row) for row in tokens] == [len(row) for row in rows]
        assert nearest.min() >= SAME
        assert each.min() >= SAME


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_gateway_serves_them(made: Models, texts: list[str], tmp_path: Path, name: str) -> None:
    """A cross-encoder and a sparse model named in requests answer over HTTP as they do in sentence-transformers."""
    import torch
    from sentence_transformers import CrossEncoder, SparseEncoder

    skip_unless_asked_for(name)
    reranker, sparse = CROSS_ENCODERS[0], SPARSE[0]
    scores = CrossEncoder(str(made.folder / reranker), device="cpu").predict(
        [(texts[8], text) for text in texts[:4]], activation_fn=torch.nn.Identity()
    )
    encoder = SparseEncoder(str(made.folder / sparse), device="cpu")
    encoder.max_seq_length = 256
    weights = encoder.encode(texts[:4], convert_to_sparse_tensor=False).numpy()
    gateway = describe(name, tmp_path, MODELS_FILE=str(made.file), MODELS_DIR=str(made.folder)).start()
    try:
        with httpx.Client(base_url=gateway.url, timeout=120, trust_env=False) as http:
            asked: dict[str, Any] = {"query": texts[8], "documents": texts[:4], "raw_scores": True}
            ranked = http.post("/v1/rerank", json=asked | {"model": reranker}).json()
            weighed = http.post("/v1/embed_sparse", json={"input": texts[:4], "model": sparse}).json()
    finally:
        gateway.stop()
    found = {result["index"]: result["relevance_score"] for result in ranked["results"]}
    rows = [
        SparseVector(*(np.array(row["embedding"][key]) for key in SparseVector._fields)) for row in weighed["data"]
    ]
    assert (ranked["model"], weighed["model"]) == (reranker, sparse)
    assert found == pytest.approx(dict(enumerate(scores.tolist())), abs=MOST_DIFFERENCE)
    assert list(found) == np.argsort(-scores, kind="stable").tolist()
    assert np.abs(filled(rows, weights.shape[1]) - weights).max() <= MOST_DIFFERENCE
