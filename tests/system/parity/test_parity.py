"""Parity of the gateways with sentence-transformers over HTTP, for all of SQuAD's passages and for hard texts."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from bench.arrays import F32
from bench.datasets import squad
from bench.verification import ranking_metrics, reference
from bench.verification.reference import Reference
from tests.support.gateways import ROOT, Fleet

WHOLE = pytest.param(1, marks=pytest.mark.slow("1,204 passages through three gateways"), id="all")
EVERY = pytest.mark.parametrize("every", [pytest.param(8, id="8th"), WHOLE])
FP32 = ("python", "onnx_py", "split")
INT8 = "onnx_py-int8"
PER_REQUEST = 256
MIN_COSINE = 0.99999
MIN_INT8_MEAN_COSINE = 0.99
MAX_LOST_POINTS = 1.0


@pytest.fixture(scope="module")
def expected() -> Reference:
    """Return the reference vectors of every passage and question."""
    return reference.load(squad.load())


@pytest.fixture(scope="module")
def hard_texts() -> dict[str, str]:
    """Return the texts of golden.json by name."""
    golden = json.loads((ROOT / "tests" / "contract" / "golden.json").read_text(encoding="utf-8"))
    return {case["name"]: case["text"] * case.get("repeat", 1) for case in golden["cases"] if not case["options"]}


def embed(fleet: Fleet, name: str, texts: list[str]) -> F32:
    """Embed over HTTP in requests of PER_REQUEST texts. Returns float32 (n, 384)."""
    rows: list[Any] = []
    with fleet.running(name).client(timeout_s=300) as http:
        for start in range(0, len(texts), PER_REQUEST):
            answer = http.post("/v1/embeddings", json={"input": texts[start : start + PER_REQUEST]})
            assert answer.status_code == 200, answer.text[:500]
            rows.extend(item["embedding"] for item in answer.json()["data"])
    return np.asarray(rows, dtype=np.float32)


def cosines(a: F32, b: F32) -> F32:
    """Return the cosine of each pair of rows of (n, d) and (n, d): (n,)."""
    dots = np.einsum("ij,ij->i", a, b)
    return np.asarray(dots / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)), dtype=np.float32)


def measure_quality(expected: Reference, questions: F32, passages: F32) -> ranking_metrics.Quality:
    """Return the quality of exact search with these vectors, over the answerable questions."""
    relevant = [question.relevant for question in expected.squad.answerable]
    return ranking_metrics.measure(ranking_metrics.rank_by_dot(questions, passages, expected.passage_ids), relevant)


@EVERY
@pytest.mark.parametrize("name", FP32)
def test_fp32_on_passages(fleet: Fleet, expected: Reference, name: str, every: int) -> None:
    """Each passage, or every eighth of the 1,204, has a cosine to the reference of at least 0.99999."""
    texts = list(expected.squad.passages.values())[::every]
    cosine = cosines(embed(fleet, name, texts), expected.passages[::every])

    print(f"{name}: cosine min {cosine.min():.7f}, mean {cosine.mean():.7f} over {len(cosine)} passages")
    assert len(cosine) == -(-1204 // every)
    assert cosine.min() >= MIN_COSINE


@pytest.mark.parametrize("name", FP32)
def test_fp32_on_hard_inputs(fleet: Fleet, expected: Reference, hard_texts: dict[str, str], name: str) -> None:
    """Each hard text of one request has a cosine to the reference of at least 0.99999."""
    texts = list(hard_texts.values())
    cosine = cosines(embed(fleet, name, texts), expected.vectors(texts))

    ones = dict.fromkeys(hard_texts, 1.0)
    assert dict(zip(hard_texts, cosine, strict=True)) == pytest.approx(ones, abs=1 - MIN_COSINE)


@pytest.mark.gateway("onnx_py")
@EVERY
def test_int8_is_close_to_the_reference(fleet: Fleet, expected: Reference, every: int) -> None:
    """Over all passages, or every eighth, the mean cosine of int8 to the reference is at least 0.99."""
    texts = list(expected.squad.passages.values())[::every]
    cosine = cosines(embed(fleet, INT8, texts), expected.passages[::every])

    print(f"{INT8}: cosine min {cosine.min():.4f}, mean {cosine.mean():.4f} over {len(cosine)} passages")
    assert cosine.mean() >= MIN_INT8_MEAN_COSINE


@pytest.mark.gateway("onnx_py")
@pytest.mark.slow("5,928 questions and 1,204 passages through the model")
def test_int8_searches_as_well_as_fp32(fleet: Fleet, expected: Reference) -> None:
    """hit@1, hit@5 and nDCG@10 are within one point of fp32, over every answerable question of SQuAD."""
    questions = [question.text for question in expected.squad.answerable]

    passages = embed(fleet, INT8, list(expected.squad.passages.values()))
    int8 = measure_quality(expected, embed(fleet, INT8, questions), passages)

    fp32 = measure_quality(expected, expected.vectors(questions), expected.passages)
    print(f"fp32 {fp32}\nint8 {int8}")
    assert int8.worst_gap_points(fp32) <= MAX_LOST_POINTS


@pytest.mark.gateway("onnx_py")
def test_models_report_their_precision(fleet: Fleet) -> None:
    """`/v1/models` reports the precision of each model: int8, or fp32 for a model without an int8 graph."""
    models = httpx.get(f"{fleet.running(INT8).url}/v1/models", trust_env=False).json()["data"]

    assert {model["id"]: model["precision"] for model in models if model["kind"] == "dense"} == {
        "all-MiniLM-L6-v2": "int8",
        "all-mpnet-base-v2": "fp32",
    }
