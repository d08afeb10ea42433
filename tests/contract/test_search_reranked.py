"""`POST /v1/search` judged by a reranker."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.wire import PASSAGES, Server, answer, assert_error, ids, ingest, ok, samples, search, unique

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "hybrid")

# Of the documented fusion: a rank counts 1 / (K + rank).
K = 1
# Of a mean cosine: stored token vectors have 4 bits a dimension.
STORED = 0.03


def judged(http: httpx.Client, query: str, **options: Any) -> dict[str, float]:
    """Return the relevance that `/v1/rerank` gives each passage."""
    body = {"query": query, "documents": list(PASSAGES.values())} | options
    results = ok(http.post("/v1/rerank", json=body))["results"]
    names = list(PASSAGES)
    return {names[result["index"]]: result["relevance_score"] for result in results}


@pytest.mark.requires("rerank", "rerank_search")
@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_tokens_are_compared_as_the_rerank_route_does(http: httpx.Client, manual: str, mode: str) -> None:
    """The late interaction with each passage is that of `/v1/rerank`, and has a say in the score, which is 0 to 1."""
    query = "why is there a warning light in the water pump?"
    expected = judged(http, query)

    found = answer(http, query, collection=manual, mode=mode, rerank=True, top_k=10, explain=True)

    results = found["results"]
    assert results
    for result in results:
        assert result["explain"]["late"] == pytest.approx(expected[result["id"]], abs=STORED)
        assert 0 <= result["score"] <= 1
    assert sorted(result["explain"]["ranks"]["late"] for result in results) == list(range(1, len(results) + 1))
    assert [result["score"] for result in results] == sorted((r["score"] for r in results), reverse=True)
    assert found["reranker_model"] == ok(http.post("/v1/rerank", json={"query": "x", "documents": ["y"]}))["model"]
    assert found["timings_ms"]["rerank"] > 0
    assert sum(found["timings_ms"].values()) <= found["took_ms"] * 1.05 + 1
    for rank, result in enumerate(results, 1):
        assert result["explain"]["rerank"] == pytest.approx(result["score"], abs=1e-6)
        assert result["explain"]["ranks"]["rerank"] == rank
        if mode != "sparse":
            assert result["explain"]["ranks"]["dense"] is not None


@pytest.mark.requires("rerank_search", "metrics", "collections")
@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_what_is_stored_is_not_read_again(http: httpx.Client, target: Server, manual: str, mode: str) -> None:
    """A reranked search is one forward pass, the query's, where the collection stores the vectors of tokens."""
    if not ok(http.get(f"/v1/collections/{manual}"))["late_interaction"]:
        pytest.skip("collections store no tokens here")
    before = samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    results = search(http, unique("red light"), collection=manual, mode=mode, rerank=True, top_k=10)

    after = samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")
    assert results
    assert after == (before or 0) + 1


@pytest.mark.requires("rerank_search", "collections")
def test_without_stored_tokens_it_is_the_same_reranker(http: httpx.Client, collection: str) -> None:
    """It reads the candidates then, and its score is that of `/v1/rerank`."""
    made = ok(http.put(f"/v1/collections/{collection}", json={"late_interaction": False}), 201)
    assert made["late_interaction"] is False
    ingest(http, [{"id": key, "text": text} for key, text in PASSAGES.items()], collection=collection)
    query = "why is there a warning light?"

    results = search(http, query, collection=collection, rerank=True, top_k=10)

    assert {result["id"]: result["score"] for result in results} == pytest.approx(judged(http, query), abs=1e-4)


@pytest.mark.requires("rerank", "rerank_search")
def test_more_is_judged_than_is_returned(http: httpx.Client, manual: str) -> None:
    """The best of all candidates comes first, also when only one is asked for."""
    query = "which water comes in spring?"
    best = ids(search(http, query, collection=manual, rerank=True, top_k=len(PASSAGES)))[0]

    assert ids(search(http, query, collection=manual, rerank=True, top_k=1)) == [best]


@pytest.mark.requires("rerank", "rerank_search")
def test_a_reranker_is_chosen_by_name(http: httpx.Client, manual: str) -> None:
    """Its id; false and null mean none where the collection has none."""
    [*_, reranker] = [entry["id"] for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "rerank"]
    expected = judged(http, "red light", model=reranker)

    found = answer(http, "red light", collection=manual, rerank=reranker, top_k=10)

    assert found["reranker_model"] == reranker
    assert {result["id"] for result in found["results"]} == set(expected)
    plain = search(http, "red light", collection=manual)
    for none in (False, None):
        assert search(http, "red light", collection=manual, rerank=none) == plain


@pytest.mark.requires("rerank_search")
def test_min_score_is_of_the_relevance_when_reranked(http: httpx.Client, manual: str) -> None:
    """The limit is applied to the scores that are returned."""
    every_one = search(http, "red light", collection=manual, rerank=True, top_k=10)
    limit = (every_one[1]["score"] + every_one[2]["score"]) / 2

    kept = search(http, "red light", collection=manual, rerank=True, top_k=10, min_score=limit)

    assert ids(kept) == ids(every_one)[:2]


@pytest.mark.requires("rerank_search", "collections")
def test_a_reranked_collection_may_fuse_by_ranks(http: httpx.Client, collection: str) -> None:
    """Then a score is the mean of (K + 1) / (K + rank) over what is known of a candidate: dense, sparse and late."""
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
        # What shares no word has a rank among the candidates too, behind all that do.
        assert least - 1e-6 <= result["score"] <= least + 1e-6 + (0 if ranks["sparse"] else 1 / 3)


@pytest.mark.requires("rerank_search")
def test_nothing_found_is_nothing_to_judge(http: httpx.Client, manual: str) -> None:
    """A reranked search that retrieves nothing answers with an empty list."""
    assert search(http, unique("xyzzy").split()[1], collection=manual, mode="sparse", rerank=True) == []


@pytest.mark.requires("rerank_search")
@pytest.mark.parametrize(
    ("reranker", "status", "code"), [("no-such-model", 404, "unknown_model"), ("bm25", 400, "wrong_model_kind")]
)
def test_what_is_no_reranker_is_refused(
    http: httpx.Client, manual: str, reranker: str, status: int, code: str
) -> None:
    """The error names the field and the model that was asked for."""
    body = {"query": "x", "collection": manual, "rerank": reranker}

    error = assert_error(http.post("/v1/search", json=body), status, code)

    assert error["param"] == "rerank"
    assert reranker in error["message"]
