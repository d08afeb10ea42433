"""Vectors and token counts of sentence-transformers. `scripts/models/golden_vectors.py` writes `golden.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.client import cosine, decode_floats, embed, embed_text, norm

pytestmark = pytest.mark.requires("embeddings", "golden")

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
CASES = {case["name"]: case for case in GOLDEN["cases"]}
SAME = 0.99999


def build_text(case: dict[str, Any]) -> str:
    """Return the text of a case. A long text is stored as a part and the number of its repetitions."""
    text: str = case["text"]
    return text * int(case.get("repeat", 1))


@pytest.mark.parametrize("name", CASES)
def test_vector_and_tokens(http: httpx.Client, name: str) -> None:
    """The vector and the token count are those of sentence-transformers."""
    case = CASES[name]

    answer = embed(http, build_text(case), model=GOLDEN["model"], **case["options"])

    assert cosine(answer["data"][0]["embedding"], decode_floats(case["vector"])) >= SAME
    assert answer["usage"]["prompt_tokens"] == case["tokens"]


def test_vectors_in_one_request(http: httpx.Client) -> None:
    """All texts in one request get the same vectors, so batching and padding change nothing."""
    cases = [case for case in GOLDEN["cases"] if not case["options"]]

    answer = embed(http, [build_text(case) for case in cases], model=GOLDEN["model"])

    for case, item in zip(cases, answer["data"], strict=True):
        assert cosine(item["embedding"], decode_floats(case["vector"])) >= SAME, case["name"]
    assert answer["usage"]["prompt_tokens"] == sum(case["tokens"] for case in cases)


@pytest.mark.requires("token_ids")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "ids" in case])
def test_token_ids_stand_for_their_text(http: httpx.Client, name: str) -> None:
    """The token ids of a text, without special tokens, get the text's vector and count."""
    case = CASES[name]

    answer = embed(http, case["ids"], model=GOLDEN["model"])

    assert cosine(answer["data"][0]["embedding"], decode_floats(case["vector"])) >= SAME
    assert answer["usage"]["prompt_tokens"] == case["tokens"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "norm" in case])
def test_raw_length(http: httpx.Client, name: str) -> None:
    """`normalize: false` keeps the length of the pooled vector."""
    case = CASES[name]

    raw_vector = embed_text(http, build_text(case), model=GOLDEN["model"], normalize=False, **case["options"])

    assert norm(raw_vector) == pytest.approx(case["norm"], rel=1e-3)
    assert cosine(raw_vector, decode_floats(case["vector"])) >= SAME
