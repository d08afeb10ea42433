"""`POST /v1/embed_sparse` gives the weights of terms."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, assert_error, ok

pytestmark = pytest.mark.requires("sparse")


def embed_sparse(http: httpx.Client, inputs: Any, **options: Any) -> list[dict[int, float]]:
    """Return one {index: weight} per text. Fails unless the answer has the documented shape."""
    answer = ok(http.post("/v1/embed_sparse", json={"input": inputs} | options))
    assert answer["object"] == "list"
    assert [entry["index"] for entry in answer["data"]] == list(range(len(answer["data"])))
    assert {entry["object"] for entry in answer["data"]} <= {"sparse_embedding"}
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"]
    rows = [entry["embedding"] for entry in answer["data"]]
    assert all(row["indices"] == sorted(set(row["indices"])) for row in rows)
    return [dict(zip(row["indices"], row["values"], strict=True)) for row in rows]


def compute_overlap(a: dict[int, float], b: dict[int, float]) -> float:
    """Return the dot product of two sparse vectors."""
    return sum(weight * b.get(index, 0.0) for index, weight in a.items())


def test_one_text_and_a_list_are_the_same(http: httpx.Client) -> None:
    """A text alone, in a list of one, or in a longer list has the same weights."""
    text = "The quick brown fox"

    [alone] = embed_sparse(http, text)

    assert embed_sparse(http, [text]) == [alone]
    assert embed_sparse(http, ["other words entirely", text])[1] == pytest.approx(alone)
    assert alone
    assert all(weight > 0 for weight in alone.values())


def test_shared_terms_overlap(http: httpx.Client) -> None:
    """A query overlaps a document with its words, and no document without them."""
    [query] = embed_sparse(http, "vacation days", input_type="query")
    with_words, without = embed_sparse(http, ["You get 20 vacation days per year", "parking lots near offices"])

    assert compute_overlap(query, with_words) > compute_overlap(query, without) == 0


def test_a_text_with_no_terms_has_no_weights(http: httpx.Client) -> None:
    """A text of punctuation alone is accepted, and may have no weights."""
    model = ok(http.post("/v1/embed_sparse", json={"input": "x"}))["model"]
    [row] = embed_sparse(http, "?!", model=model)

    assert row == {} or all(weight > 0 for weight in row.values())


def test_the_answer_names_a_sparse_model(http: httpx.Client) -> None:
    """null is the default sparse model, and the answer names its id."""
    answer = ok(http.post("/v1/embed_sparse", json={"input": "x", "model": None}))

    assert ok(http.get(f"/v1/models/{answer['model']}"))["kind"] == "sparse"


def test_a_dense_model_has_no_sparse_vectors(http: httpx.Client, model: Json) -> None:
    """A dense model is a 400 that names its kind."""
    response = http.post("/v1/embed_sparse", json={"input": "x", "model": model["id"]})

    assert "dense" in assert_error(response, 400, "wrong_model_kind")["message"]


def test_a_sparse_model_has_no_dense_vectors(http: httpx.Client) -> None:
    """A sparse model is a 400 in `/v1/embeddings`."""
    name = ok(http.post("/v1/embed_sparse", json={"input": "x"}))["model"]

    assert_error(http.post("/v1/embeddings", json={"input": "x", "model": name}), 400, "wrong_model_kind")
