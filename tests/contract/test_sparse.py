"""`POST /v1/embed_sparse`: weights of terms."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.wire import Json, assert_error, ok

pytestmark = pytest.mark.requires("sparse")


def sparse(http: httpx.Client, inputs: Any, **options: Any) -> list[dict[int, float]]:
    """Return one {index: weight} per text, having checked the shape."""
    answer = ok(http.post("/v1/embed_sparse", json={"input": inputs} | options))
    assert answer["object"] == "list"
    assert [entry["index"] for entry in answer["data"]] == list(range(len(answer["data"])))
    assert {entry["object"] for entry in answer["data"]} <= {"sparse_embedding"}
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"]
    rows = [entry["embedding"] for entry in answer["data"]]
    assert all(row["indices"] == sorted(set(row["indices"])) for row in rows)
    return [dict(zip(row["indices"], row["values"], strict=True)) for row in rows]


def overlap(a: dict[int, float], b: dict[int, float]) -> float:
    """Return the dot product."""
    return sum(weight * b.get(index, 0.0) for index, weight in a.items())


def test_one_text_and_a_list_are_the_same(http: httpx.Client) -> None:
    """A text alone, in a list, or among others has the same weights."""
    text = "The quick brown fox"

    [alone] = sparse(http, text)

    assert sparse(http, [text]) == [alone]
    assert sparse(http, ["other words entirely", text])[1] == pytest.approx(alone)
    assert alone
    assert all(weight > 0 for weight in alone.values())


def test_shared_terms_overlap(http: httpx.Client) -> None:
    """A query meets the document that has its words, and not one that has none of them."""
    [query] = sparse(http, "vacation days", input_type="query")
    with_words, without = sparse(http, ["You get 20 vacation days per year", "parking lots near offices"])

    assert overlap(query, with_words) > overlap(query, without) == 0


def test_a_text_with_no_terms_has_no_weights(http: httpx.Client) -> None:
    """Punctuation alone is a text, and nothing in it can be looked up."""
    model = ok(http.post("/v1/embed_sparse", json={"input": "x"}))["model"]
    [row] = sparse(http, "?!", model=model)

    assert row == {} or all(weight > 0 for weight in row.values())


def test_the_answer_names_a_sparse_model(http: httpx.Client) -> None:
    """Null means the default, and the answer says which that is."""
    answer = ok(http.post("/v1/embed_sparse", json={"input": "x", "model": None}))

    assert ok(http.get(f"/v1/models/{answer['model']}"))["kind"] == "sparse"


def test_a_dense_model_has_no_sparse_vectors(http: httpx.Client, model: Json) -> None:
    """400 that says which kind it is."""
    response = http.post("/v1/embed_sparse", json={"input": "x", "model": model["id"]})

    assert "dense" in assert_error(response, 400, "wrong_model_kind")["message"]


def test_a_sparse_model_has_no_dense_vectors(http: httpx.Client) -> None:
    """And the other way round."""
    name = ok(http.post("/v1/embed_sparse", json={"input": "x"}))["model"]

    assert_error(http.post("/v1/embeddings", json={"input": "x", "model": name}), 400, "wrong_model_kind")
