"""The gateways' vectors against sentence-transformers' own, over HTTP: all of SQuAD's passages, and hard inputs."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest

from bench import quality, reference
from bench.datasets import squad
from bench.reference import F32, Reference
from tests.conftest import shapes
from tests.processes import ROOT, Fleet

FP32 = ("python", "onnx_py", "split")
INT8 = "onnx_py-int8"
PER_REQUEST = 256
SAME = 0.99999
INT8_MEAN = 0.99
POINTS = 1.0


@pytest.fixture(scope="module")
def known() -> Reference:
    """Return the reference vectors of every passage and question."""
    return reference.load(squad.load())


@pytest.fixture(scope="module")
def hard() -> dict[str, str]:
    """Return the texts of the golden file, by name."""
    golden = json.loads((ROOT / "tests" / "contract" / "golden.json").read_text(encoding="utf-8"))
    return {case["name"]: case["text"] * case.get("repeat", 1) for case in golden["cases"] if not case["options"]}


@pytest.fixture(scope="module")
def int8_passages(fleet: Fleet, known: Reference) -> F32:
    """Return the int8 gateway's vectors of every passage."""
    skip_unless_asked_for("onnx_py")
    return embedded(fleet, INT8, list(known.squad.passages.values()))


def embedded(fleet: Fleet, name: str, texts: list[str]) -> F32:
    """Embed over HTTP, many texts a request; float32 (n, 384)."""
    rows: list[Any] = []
    with httpx.Client(base_url=fleet.running(name).url, timeout=300, trust_env=False) as http:
        for start in range(0, len(texts), PER_REQUEST):
            answer = http.post("/v1/embeddings", json={"input": texts[start : start + PER_REQUEST]})
            assert answer.status_code == 200, answer.text[:500]
            rows.extend(item["embedding"] for item in answer.json()["data"])
    return np.asarray(rows, dtype=np.float32)


def cosines(a: F32, b: F32) -> F32:
    """Row by row cosine of (n, d) and (n, d): (n,)."""
    dots = np.einsum("ij,ij->i", a, b)
    return np.asarray(dots / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)), dtype=np.float32)


def ranked(known: Reference, questions: F32, passages: F32) -> quality.Quality:
    """Quality of exact search with these vectors, over the answerable questions."""
    relevant = [question.relevant for question in known.squad.answerable]
    return quality.measure(quality.rank_by_dot(questions, passages, known.passage_ids), relevant)


@pytest.mark.parametrize("name", FP32)
def test_fp32_on_every_passage(fleet: Fleet, known: Reference, name: str) -> None:
    """Each of the 1,204 passages: cosine at least 0.99999."""
    skip_unless_asked_for(name)

    found = cosines(embedded(fleet, name, list(known.squad.passages.values())), known.passages)

    print(f"{name}: cosine min {found.min():.7f}, mean {found.mean():.7f} over {len(found)} passages")
    assert len(found) == 1204
    assert found.min() >= SAME


@pytest.mark.parametrize("name", FP32)
def test_fp32_on_hard_inputs(fleet: Fleet, known: Reference, hard: dict[str, str], name: str) -> None:
    """Emoji, 10,000 words, mixed scripts, control characters and the rest, all in one request: at least 0.99999."""
    skip_unless_asked_for(name)

    found = cosines(embedded(fleet, name, list(hard.values())), known.vectors(list(hard.values())))

    assert dict(zip(hard, found, strict=True)) == pytest.approx(dict.fromkeys(hard, 1.0), abs=1 - SAME)


def test_int8_is_near(known: Reference, int8_passages: F32) -> None:
    """int8 on every passage: a mean cosine of at least 0.99."""
    found = cosines(int8_passages, known.passages)

    print(f"{INT8}: cosine min {found.min():.4f}, mean {found.mean():.4f} over {len(found)} passages")
    assert found.mean() >= INT8_MEAN


def test_int8_searches_as_well(fleet: Fleet, known: Reference, int8_passages: F32) -> None:
    """hit@1, hit@5 and nDCG@10 on SQuAD within one point of fp32, over every answerable question."""
    asked = [question.text for question in known.squad.answerable]

    int8 = ranked(known, embedded(fleet, INT8, asked), int8_passages)

    fp32 = ranked(known, known.vectors(asked), known.passages)
    print(f"fp32 {fp32}\nint8 {int8}")
    assert int8.worst_gap_points(fp32) <= POINTS


def test_an_int8_gateway_says_so(fleet: Fleet) -> None:
    """`/v1/models` tells the precision that is served: nobody mistakes one for the other."""
    skip_unless_asked_for("onnx_py")

    listed = httpx.get(f"{fleet.running(INT8).url}/v1/models", trust_env=False).json()["data"]

    assert {model["id"]: model["precision"] for model in listed if model["kind"] == "dense"} == {
        "all-MiniLM-L6-v2": "int8",
        "all-mpnet-base-v2": "fp32",
    }


def skip_unless_asked_for(name: str) -> None:
    """Leave out what GATEWAYS leaves out."""
    if name not in shapes():
        pytest.skip(f"GATEWAYS leaves out {name}")
