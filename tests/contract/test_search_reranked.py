"""`POST /v1/search` with a reranker."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import (
    PASSAGES,
    Server,
    assert_error,
    ingest,
    list_ids,
    make_unique,
    ok,
    post_search,
    search,
    sum_samples,
)

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "hybrid")

# The constant of the documented fusion: a rank counts 1 / (K + rank).
K = 1
# Tolerance of a mean cosine, because stored token vectors have 4 bits per dimension.
STORED = 0.03


def rerank_passages(http: httpx.Client, query: str, **options: Any) -> dict[str, float]:
    """Return the relevance that `/v1/rerank` gives each passage."""
    body = {"query": query, "documents": list(PASSAGES.values())} | options
    results = ok(http.post("/v1/rerank", json=body))["results"]
    names = list(PASSAGES)
    return {names[result["index"]]: result["relevance_score"] for result in results}


@pytest.mark.requires("rerank", "rerank_search")
@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_tokens_are_compared_as_the_rerank_route_does(http: httpx.Client, manual: str, mode: str) -> None:
    """The late interaction with each passage is that of `/v1/rerank`. Scores are from 0 to 1."""
    query = "why is there a warning light in the water pump?"
    expected = rerank_passages(http, query)

    answer = post_search(http, query, collection=manual, mode=mode, rerank=True, top_k=10, explain=True)

    results = answer["results"]
    assert results
    for result in results:
        assert result["explain"]["late"] == pytest.approx(expected[result["id"]], abs=STORED)
        assert 0 <= result["score"] <= 1
    assert sorted(result["explain"]["ranks"]["late"] for result in results) == list(range(1, len(results) + 1))
    assert [result["score"] for result in results] == sorted((r["score"] for r in results), reverse=True)
    assert answer["reranker_model"] == ok(http.post("/v1/rerank", json={"query": "x", "documents": ["y"]}))["model"]
    assert answer["timings_ms"]["rerank"] > 0
    assert sum(answer["timings_ms"].values()) <= answer["took_ms"] * 1.05 + 1
    for rank, result in enumerate(results, 1):
        assert result["explain"]["rerank"] == pytest.approx(result["score"], abs=1e-6)
        assert result["explain"]["ranks"]["rerank"] == rank
        if mode != "sparse":
            assert result["explain"]["ranks"]["dense"] is not None


@pytest.mark.requires("rerank_search", "metrics", "collections")
@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_what_is_stored_is_not_read_again(http: httpx.Client, target: Server, manual: str, mode: str) -> None:
    """With stored token vectors, a reranked search computes one text, the query."""
    if not ok(http.get(f"/v1/collections/{manual}"))["late_interaction"]:
        pytest.skip("collections store no tokens here")
    before = sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    results = search(http, make_unique("red light"), collection=manual, mode=mode, rerank=True, top_k=10)

    after = sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")
    assert results
    assert after == (before or 0) + 1


@pytest.mark.requires("rerank_search", "collections")
def test_without_stored_tokens_it_is_the_same_reranker(http: httpx.Client, collection: str) -> None:
    """Without stored token vectors, the scores are those of `/v1/rerank`."""
    profile = ok(http.put(f"/v1/collections/{collection}", json={"late_interaction": False}), 201)
    assert profile["late_interaction"] is False
    ingest(http, [{"id": key, "text": text} for key, text in PASSAGES.items()], collection=collection)
    query = "why is there a warning light?"

    results = search(http, query, collection=collection, rerank=True, top_k=10)

    assert {result["id"]: result["score"] for result in results} == pytest.approx(
        rerank_passages(http, query), abs=1e-4
    )


@pytest.mark.requires("rerank", "rerank_search")
def test_more_is_judged_than_is_returned(http: httpx.Client, manual: str) -> None:
    """The best of all candidates comes first, also with `top_k: 1`."""
    query = "which water comes in spring?"
    best = list_ids(search(http, query, collection=manual, rerank=True, top_k=len(PASSAGES)))[0]

    assert list_ids(search(http, query, collection=manual, rerank=True, top_k=1)) == [best]


@pytest.mark.requires("rerank", "rerank_search")
def test_a_reranker_is_chosen_by_name(http: httpx.Client, manual: str) -> None:
    """`rerank` accepts the id of a reranker. false and null mean no reranker in a collection without one."""
    [*_, reranker] = [entry["id"] for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "rerank"]
    expected = rerank_passages(http, "red light", model=reranker)

    answer = post_search(http, "red light", collection=manual, rerank=reranker, top_k=10)

    assert answer["reranker_model"] == reranker
    assert {result["id"] for result in answer["results"]} == set(expected)
    plain = search(http, "red light", collection=manual)
    for no_reranker in (False, None):
        assert search(http, "red light", collection=manual, rerank=no_reranker) == plain


@pytest.mark.requires("rerank_search")
def test_min_score_is_of_the_relevance_when_reranked(http: httpx.Client, manual: str) -> None:
    """`min_score` applies to the scores that are returned."""
    results = search(http, "red light", collection=manual, rerank=True, top_k=10)
    limit = (results[1]["score"] + results[2]["score"]) / 2

    best_results = search(http, "red light", collection=manual, rerank=True, top_k=10, min_score=limit)

    assert list_ids(best_results) == list_ids(results)[:2]


@pytest.mark.requires("rerank_search", "collections")
def test_a_reranked_collection_may_fuse_by_ranks(http: httpx.Client, collection: str) -> None:
    """A score is the mean of (K + 1) / (K + rank) over the dense, the sparse and the late ranking."""
    if not ok(http.put(f"/v1/collections/{collection}", json={"fusion": "rrf"}), 201)["late_interaction"]:
        pytest.skip("collections store no tokens here")
    ingest(http, [{"id": key, "text": text} for key, text in PASSAGES.items()], collection=collection)

    results = search(http, "pump filter", collection=collection, mode="hybrid", rerank=True, top_k=10, explain=True)

    for kind in ("dense", "late"):
        order = sorted(results, key=lambda result: -result["explain"][kind])
        assert [result["explain"]["ranks"][kind] for result in order] == list(range(1, len(results) + 1))
    for result in results:
        ranks = result["explain"]["ranks"]
        least = sum((K + 1) / (K + ranks[kind]) for kind in ("dense", "sparse", "late") if ranks[kind]) / 3
        # A candidate without a common word has a sparse rank too, after all candidates with one.
        assert least - 1e-6 <= result["score"] <= least + 1e-6 + (0 if ranks["sparse"] else 1 / 3)


@pytest.mark.requires("rerank_search")
def test_nothing_found_is_nothing_to_judge(http: httpx.Client, manual: str) -> None:
    """A reranked search without candidates answers with an empty list."""
    assert search(http, make_unique("xyzzy").split()[1], collection=manual, mode="sparse", rerank=True) == []


@pytest.mark.requires("rerank_search")
@pytest.mark.parametrize(
    ("reranker", "status", "code"), [("no-such-model", 404, "unknown_model"), ("bm25", 400, "wrong_model_kind")]
)
def test_what_is_no_reranker_is_refused(
    http: httpx.Client, manual: str, reranker: str, status: int, code: str
) -> None:
    """The error names the field and the model that is no reranker."""
    body = {"query": "x", "collection": manual, "rerank": reranker}

    error = assert_error(http.post("/v1/search", json=body), status, code)

    assert error["param"] == "rerank"
    assert reranker in error["message"]
