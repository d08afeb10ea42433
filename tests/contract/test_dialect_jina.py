"""The dialect of Jina, Open WebUI, Dify and LocalAI: `POST /rerank {"query", "documents"}`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, ok

pytestmark = pytest.mark.requires("dialects", "rerank")

QUERY = "Which moons does Jupiter have?"
DOCUMENTS = ["Io and Europa are moons of Jupiter.", "Bread is baked from flour.", "Jupiter is a planet."]


def rerank(http: httpx.Client, path: str = "/rerank", /, **options: Any) -> Json:
    """Return the whole answer."""
    return ok(http.post(path, json={"query": QUERY, "documents": DOCUMENTS} | options))


def test_the_answer_is_the_union_of_both_shapes(http: httpx.Client) -> None:
    """Jina's `results` and the RAG NLP engine's `ranked` have the same ranking."""
    answer = rerank(http)

    assert {"model", "results", "ranked", "inference_time_ms", "usage"} <= set(answer)
    assert answer["usage"]["total_tokens"] > 0
    assert answer["ranked"] == [
        {"doc": result["document"]["text"], "score": result["relevance_score"]} for result in answer["results"]
    ]


def test_each_result_names_its_document(http: httpx.Client) -> None:
    """A result has the place in the request, an object with the text, and a score from 0 to 1."""
    results = rerank(http)["results"]

    assert sorted(result["index"] for result in results) == [0, 1, 2]
    for result in results:
        assert set(result) == {"index", "relevance_score", "document"}
        assert result["document"] == {"text": DOCUMENTS[result["index"]]}
        assert 0 <= result["relevance_score"] <= 1


def test_the_ranking_is_that_of_v1(http: httpx.Client) -> None:
    """The path under `/v1` gives the same results."""
    for result, v1_result in zip(rerank(http)["results"], rerank(http, "/v1/rerank")["results"], strict=True):
        assert result["index"] == v1_result["index"]
        assert result["relevance_score"] == pytest.approx(v1_result["relevance_score"], abs=1e-4)


@pytest.mark.parametrize("name", ["top_n", "top_k"])
def test_top_n_keeps_the_best(http: httpx.Client, name: str) -> None:
    """`top_n` and `top_k` limit both lists. A limit above the number of documents changes nothing."""
    everything = rerank(http)

    for number in (1, 2, 99):
        answer = rerank(http, **{name: number})
        for field in ("results", "ranked"):
            assert answer[field] == everything[field][:number]


def test_documents_can_be_left_out(http: httpx.Client) -> None:
    """With `return_documents: false` the answer has places and scores, and no `ranked`."""
    answer = rerank(http, return_documents=False)

    assert all(set(result) == {"index", "relevance_score"} for result in answer["results"])
    assert "ranked" not in answer


def test_documents_may_be_objects(http: httpx.Client) -> None:
    """`{"text": ...}` is ranked as its text."""
    documents = [{"text": text, "source": "x"} for text in DOCUMENTS]

    assert rerank(http, documents=documents)["results"] == rerank(http)["results"]


def test_dify_names_no_model(http: httpx.Client) -> None:
    """Without a model, or with an empty one, the default reranker answers."""
    default = rerank(http)["model"]

    assert rerank(http, model=None)["model"] == rerank(http, model="")["model"] == default


@pytest.mark.requires("models")
def test_a_reranker_is_taken_by_its_name(http: httpx.Client) -> None:
    """Each reranker of `/v1/models` answers to its id."""
    rerankers = [entry["id"] for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "rerank"]

    assert rerankers
    for name in rerankers:
        assert rerank(http, model=name)["model"] == name
