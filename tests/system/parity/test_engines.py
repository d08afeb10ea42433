"""
Parity of both runtimes with sentence-transformers, model by model, in this process; two models over HTTP too.

The cross-encoders and sparse models are generated (`tiny_models.py`), because released ones are only on a hub.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.datasets import squad
from gateways.core.backend import F32, SparseVector
from gateways.core.models import catalog
from gateways.core.settings import ModelSettings
from tests.support.gateways import ROOT, describe

RUNTIMES = ("python", "onnx_py")
GATEWAYS = (*RUNTIMES, "split")
CROSS_ENCODERS = ("minilm-cross-encoder", "xlm-roberta-cross-encoder")
SPARSE = ("minilm-sparse", "distilbert-sparse")
DENSE = ("qwen3", "bert-cls")
MPNET = "all-mpnet-base-v2"
# Golden texts with unusual tokens, and golden texts that are truncated.
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
CACHE = ROOT / ".cache" / "tests"
WEEK_S = 7 * 24 * 3600
MAX_DIFFERENCE = 1e-4
MIN_COSINE = 0.99999

# torch and transformers emit deprecation warnings at import, which are not tested here.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Models:
    """A catalogue, and the folder of its fetched and exported models."""

    file: Path
    folder: Path

    def load(self, runtime: str, model: str) -> Any:
        """Load a model as a gateway does."""
        from importlib import import_module

        module = import_module(f"gateways.{runtime}.runtime")
        settings = ModelSettings(models_file=self.file, models_dir=self.folder, device="cpu")
        return module.load(module.locate(model, catalog.load(self.file), settings), settings)


@pytest.fixture(scope="module")
def tiny() -> Models:
    """Return the tiny models, fetched and exported with the scripts that users run; cached by their sources."""
    folder = fill_cache(CACHE / f"tiny-{hash_sources()}", make_and_export)
    return Models(folder / "models.yaml", folder / "models")


def hash_sources() -> str:
    """Return a hash of all files that the tiny models and their graphs depend on."""
    sources = [Path(__file__).with_name("tiny_models.py"), ROOT / "models.yaml", ROOT / "constraints.txt"]
    sources += sorted((ROOT / "scripts" / "models").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]


def make_and_export(folder: Path) -> None:
    """Write the models and a catalogue below `folder`, then fetch and export them."""
    from tests.system.parity.tiny_models import TINY_MODELS, make

    catalogue = make(folder)
    for script in ("fetch", "export_onnx"):
        command = [sys.executable, "-m", f"scripts.models.{script}", "--catalogue", str(catalogue)]
        command += ["--models-dir", str(folder / "models"), *TINY_MODELS]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)  # noqa: S603
        assert done.returncode == 0, done.stdout + done.stderr


def fill_cache(folder: Path, write: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `write` now or in an earlier session. Deletes folders unused for a week."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder / "complete"
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            write(folder)
        stamp.touch()
        for other in folder.parent.glob("tiny-*/complete"):
            if time.time() - other.stat().st_mtime > WEEK_S:
                shutil.rmtree(other.parent)
    return folder


@pytest.fixture(scope="module")
def released() -> Models:
    """Return the project's catalogue."""
    models = Models(ROOT / "models.yaml", ROOT / "models")
    for file in ("model.safetensors", "onnx/fp32.onnx"):
        assert (models.folder / MPNET / file).is_file(), f"run `make models MODEL={MPNET}`"
    return models


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Return passages, questions and hard texts: emoji, scripts, control characters, texts over the limit."""
    data = squad.load()
    golden = json.loads((ROOT / "tests" / "contract" / "golden.json").read_text(encoding="utf-8"))
    hard = {case["name"]: case["text"] * case.get("repeat", 1) for case in golden["cases"]}
    questions = [question.text for question in data.answerable[::1500]]
    return [*list(data.passages.values())[::240], *questions, *(hard[name] for name in HARD)]


@pytest.fixture(scope="module")
def pairs(texts: list[str]) -> dict[str, list[str]]:
    """Return documents by query, with pairs in which the query, the document, or both are truncated."""
    long = " ".join(texts[:6])
    return {"who was first?": [*texts, ""], texts[0]: [*texts[:3], long], long: [texts[1], long, ""], "": texts[:2]}


def run_in_batches(run: Any, rows: list[Any], seed: int) -> list[Any]:
    """Run rows in random order in batches of random sizes. Returns the results in the order of the rows."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(rows)).tolist()
    results: dict[int, Any] = {}
    while order:
        indices, order = order[: (size := int(random.integers(1, 12)))], order[size:]
        results.update(zip(indices, run([rows[index] for index in indices]), strict=True))
    return [results[index] for index in range(len(rows))]


def to_dense(vectors: list[SparseVector], dimensions: int) -> F32:
    """Return sparse vectors as a dense array, (n, dimensions)."""
    dense = np.zeros((len(vectors), dimensions), np.float32)
    for row, vector in zip(dense, vectors, strict=True):
        row[vector.indices] = vector.values
    return dense


def cosines(a: F32, b: F32) -> F32:
    """Return the cosine of each pair of rows of (n, d) and (n, d): (n,)."""
    dots = np.einsum("ij,ij->i", a.astype(np.float64), b.astype(np.float64))
    return np.asarray(dots / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)), dtype=np.float32)


@pytest.mark.parametrize("model", CROSS_ENCODERS)
def test_a_cross_encoder_scores_as_sentence_transformers_does(
    tiny: Models, pairs: dict[str, list[str]], model: str
) -> None:
    """Logits are within 0.0001 of CrossEncoder.predict, in any batch, for truncated queries and documents too."""
    import torch
    from sentence_transformers import CrossEncoder

    reference = CrossEncoder(str(tiny.folder / model), device="cpu")
    reference.max_seq_length = 512
    texts = [(query, document) for query, documents in pairs.items() for document in documents]
    expected = reference.predict(texts, batch_size=4, activation_fn=torch.nn.Identity())
    assert expected.std() > 0.1, "equal logits would prove nothing"

    for runtime in RUNTIMES:
        engine = tiny.load(runtime, model)
        rows = [pair for query, documents in pairs.items() for pair in engine.texts.pairs(query, documents, "END")]
        scores = np.array(run_in_batches(engine.predict, rows, seed=1))

        difference = float(np.abs(scores - expected).max())
        print(f"{runtime}, {model}: max difference {difference:.1e} over {len(rows)} pairs, std {expected.std():.2f}")
        assert max(map(len, rows)) == 512
        assert difference <= MAX_DIFFERENCE


@pytest.mark.parametrize("model", SPARSE)
def test_a_sparse_model_weighs_as_sentence_transformers_does(tiny: Models, texts: list[str], model: str) -> None:
    """Weights are within 0.0001 of SparseEncoder.encode, in any batch; indices ascend, weights are over 0."""
    from sentence_transformers import SparseEncoder

    reference = SparseEncoder(str(tiny.folder / model), device="cpu")
    reference.max_seq_length = 256
    expected = reference.encode(texts, batch_size=4, convert_to_sparse_tensor=False).numpy()
    assert expected.max() > 0.1, "zero weights would prove nothing"

    for runtime in RUNTIMES:
        engine = tiny.load(runtime, model)
        vectors = run_in_batches(engine.encode, engine.texts.tokenize(texts, "END"), seed=2)

        difference = float(np.abs(to_dense(vectors, engine.info.dimensions) - expected).max())
        active = np.mean([len(vector.indices) for vector in vectors])
        print(
            f"{runtime}, {model}: max difference {difference:.1e}, {active:.0f} of {expected.shape[1]} words a text"
        )
        assert engine.info.dimensions == expected.shape[1]
        assert 0 < active < expected.shape[1] / 5
        assert difference <= MAX_DIFFERENCE
        for vector in vectors:
            assert (np.diff(vector.indices.astype(np.int64)) > 0).all()
            assert (vector.values > 0).all()


@pytest.mark.parametrize("model", DENSE)
def test_pooling_by_the_first_and_by_the_last_token(tiny: Models, texts: list[str], model: str) -> None:
    """With `pooling` of the catalogue, the cosine to sentence-transformers with that pooling is at least 0.99999."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    encoder = Transformer(str(tiny.folder / model), max_seq_length=512)
    pooling = Pooling(encoder.get_embedding_dimension(), {"qwen3": "lasttoken", "bert-cls": "cls"}[model])
    expected = SentenceTransformer(modules=[encoder, pooling], device="cpu").encode(texts, batch_size=4)

    for runtime in RUNTIMES:
        engine = tiny.load(runtime, model)
        vectors = np.stack(run_in_batches(engine.encode, engine.texts.tokenize(texts, "END"), seed=3))

        similarities = cosines(vectors, expected)
        print(f"{runtime}, {model}: cosine min {similarities.min():.7f}")
        assert similarities.min() >= MIN_COSINE


@pytest.mark.parametrize(
    "model", ["all-MiniLM-L6-v2", pytest.param(MPNET, marks=pytest.mark.slow("38 s: all-MiniLM-L6-v2 stays"))]
)
def test_vectors_and_token_vectors_of_the_released_models(released: Models, texts: list[str], model: str) -> None:
    """For released weights, text and token vectors have a cosine to sentence-transformers of at least 0.99999."""
    from sentence_transformers import SentenceTransformer

    texts = texts[::2] if model == MPNET else texts  # eight times the work of MiniLM
    reference = SentenceTransformer(str(released.folder / model), device="cpu")
    expected = reference.encode(texts, batch_size=4)
    states = reference.encode(texts, output_value="token_embeddings", batch_size=4)

    for runtime in RUNTIMES:
        engine = released.load(runtime, model)
        rows = engine.texts.tokenize(texts, "END")
        of_texts = cosines(np.stack(run_in_batches(engine.encode, rows, seed=4)), expected)
        tokens = run_in_batches(engine.encode_tokens, rows, seed=5)

        of_tokens = cosines(np.concatenate(tokens), np.concatenate([row.numpy() for row in states]))
        print(f"{runtime}, {model}: cosine min {of_texts.min():.7f}; {len(of_tokens)} tokens {of_tokens.min():.7f}")
        assert [len(row) for row in tokens] == [len(row) for row in rows]
        assert of_texts.min() >= MIN_COSINE
        assert of_tokens.min() >= MIN_COSINE


@pytest.mark.parametrize("name", GATEWAYS)
def test_every_gateway_serves_cross_encoders_and_sparse_models(
    tiny: Models, texts: list[str], tmp_path: Path, name: str
) -> None:
    """Over HTTP, a cross-encoder and a sparse model give the scores and weights of sentence-transformers."""
    import torch
    from sentence_transformers import CrossEncoder, SparseEncoder

    reranker, sparse = CROSS_ENCODERS[0], SPARSE[0]
    scores = CrossEncoder(str(tiny.folder / reranker), device="cpu").predict(
        [(texts[8], text) for text in texts[:4]], activation_fn=torch.nn.Identity()
    )
    encoder = SparseEncoder(str(tiny.folder / sparse), device="cpu")
    encoder.max_seq_length = 256
    weights = encoder.encode(texts[:4], convert_to_sparse_tensor=False).numpy()
    gateway = describe(name, tmp_path, MODELS_FILE=str(tiny.file), MODELS_DIR=str(tiny.folder)).start()
    try:
        with gateway.client(timeout_s=120) as http:
            query: dict[str, Any] = {"query": texts[8], "documents": texts[:4], "raw_scores": True}
            ranking = http.post("/v1/rerank", json=query | {"model": reranker}).json()
            embeddings = http.post("/v1/embed_sparse", json={"input": texts[:4], "model": sparse}).json()
    finally:
        gateway.stop()
    relevance = {result["index"]: result["relevance_score"] for result in ranking["results"]}
    rows = [
        SparseVector(*(np.array(row["embedding"][key]) for key in SparseVector._fields)) for row in embeddings["data"]
    ]
    assert (ranking["model"], embeddings["model"]) == (reranker, sparse)
    assert relevance == pytest.approx(dict(enumerate(scores.tolist())), abs=MAX_DIFFERENCE)
    assert list(relevance) == np.argsort(-scores, kind="stable").tolist()
    assert np.abs(to_dense(rows, weights.shape[1]) - weights).max() <= MAX_DIFFERENCE
