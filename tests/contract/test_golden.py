"""Vectors and token counts that sentence-transformers gave: `scripts/golden.py` writes `golden.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.wire import cosine, embed, floats, norm, vector

pytestmark = pytest.mark.requires("embeddings", "golden")

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
CASES = {case["name"]: case for case in GOLDEN["cases"]}
SAME = 0.99999


def text_of(case: dict[str, Any]) -> str:
    """Return a case's text; long ones are stored as a part and how often it is repeated."""
    text: str = case["text"]
    return text * int(case.get("repeat", 1))


@pytest.mark.parametrize("name", CASES)
def test_vector_and_tokens(http: httpx.Client, name: str) -> None:
    """The vector is sentence-transformers', and `usage` counts the tokens its tokenizer counts."""
    case = CASES[name]

    answer = embed(http, text_of(case), model=GOLDEN["model"], **case["options"])

    assert cosine(answer["data"][0]["embedding"], floats(case["vector"])) >= SAME
    assert answer["usage"]["prompt_tokens"] == case["tokens"]


def test_vectors_in_one_request(http: httpx.Client) -> None:
    """All texts in one request: batching and padding change nothing."""
    cases = [case for case in GOLDEN["cases"] if not case["options"]]

    answer = embed(http, [text_of(case) for case in cases], model=GOLDEN["model"])

    for case, item in zip(cases, answer["data"], strict=True):
        assert cosine(item["embedding"], floats(case["vector"])) >= SAME, case["name"]
    assert answer["usage"]["prompt_tokens"] == sum(case["tokens"] for case in cases)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "ids" in case])
def test_token_ids_stand_for_their_text(http: httpx.Client, name: str) -> None:
    """A text's own token ids, without the special ones, give the text's vector and count."""
    case = CASES[name]

    answer = embed(http, case["ids"], model=GOLDEN["model"])

    assert cosine(answer["data"][0]["embedding"], floats(case["vector"])) >= SAME
    assert answer["usage"]["prompt_tokens"] == case["tokens"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "norm" in case])
def test_raw_length(http: httpx.Client, name: str) -> None:
    """`normalize: false` gives the pooled vector as long as the model made it."""
    case = CASES[name]

    found = vector(http, text_of(case), model=GOLDEN["model"], normalize=False, **case["options"])

    assert norm(found) == pytest.approx(case["norm"], rel=1e-3)
    assert cosine(found, floats(case["vector"])) >= SAME
