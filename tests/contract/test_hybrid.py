"""`POST /v1/search` by words, by words and meaning, and judged by a reranker."""

from __future__ import annotations

import math
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.wire import Json, Server, assert_error, ids, ingest, ok, samples, search, unique

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "hybrid")

PASSAGES = {
    "pump": "The pump shows code E4471 when its filter is blocked by lime.",
    "boiler": "The boiler shows a warning light when the water pressure falls.",
    "filter": "Clean the filter of the pump once a month under running water.",
    "garden": "Tomatoes want sun, and water in the morning.",
    "coffee": "The machine shows a red light while the water heats for coffee.",
    "river": "The river carries more water in spring than in autumn.",
}
# Of the documented fusion: a rank counts 1 / (K + rank).
K = 1
RANKINGS = {"dense", "sparse", "fused", "late", "rerank"}
# Of a mean cosine: stored token vectors have 4 bits a dimension.
STORED = 0.03


@pytest.fixture(scope="module")
def manual(http: httpx.Client) -> str:
    """Return a collection with the passages in it; read only."""
    name = f"manual-{uuid4().hex[:12]}"
    documents: list[Json] = [
        {"id": key, "text": text, "metadata": {"device": key in ("pump", "boiler", "coffee")}}
        for key, text in PASSAGES.items()
    ]
    ingest(http, documents, collection=name)
    return name


def answer(http: httpx.Client, query: str, **options: Any) -> Json:
    """Return the whole answer of a search."""
    return ok(http.post("/v1/search", json={"query": query} | options))


def test_sparse_finds_the_word_itself(http: httpx.Client, manual: str) -> None:
    """A code that no model knows is found by those passages only that hold it."""
    assert ids(search(http, "E4471", collection=manual, mode="sparse")) == ["pump"]
    assert search(http, "E4472", collection=manual, mode="sparse") == []


def test_sparse_knows_forms_of_a_word(http: httpx.Client, manual: str) -> None:
    """Words are stemmed and letter case does not count; words such as "the" and "of" find nothing."""
    assert ids(search(http, "TOMATO", collection=manual, mode="sparse")) == ["garden"]
    assert search(http, "the of a", collection=manual, mode="sparse") == []


def test_rare_words_weigh_more(http: httpx.Client, manual: str) -> None:
    """All but one have "water" in them, two have "filter": the latter decides, and the scores fall."""
    results = search(http, "water filter", collection=manual, mode="sparse", top_k=10)

    assert ids(results)[0] == "filter"
    assert ids(results)[1] == "pump"
    assert sorted(ids(results)) == sorted(PASSAGES)
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.requires("metrics")
def test_sparse_does_not_embed_the_query(http: httpx.Client, target: Server, manual: str) -> None:
    """A search by words costs no forward pass."""
    before = samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    search(http, "red light", collection=manual, mode="sparse")

    assert samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before


def test_the_answer_names_the_model_that_read_the_query(http: httpx.Client, manual: str, model: Json) -> None:
    """bm25 when sparse, the embedding model otherwise; no reranker unless there was one."""
    for mode, name in (("dense", model["id"]), ("sparse", "bm25"), ("hybrid", model["id"])):
        found = answer(http, "red light", collection=manual, mode=mode)
        assert (found["model"], found["reranker_model"]) == (name, None)
        assert set(found["timings_ms"]) == {"tokenize", "queue", "infer", "retrieve", "rerank"}
        assert found["timings_ms"]["rerank"] == 0.0


@pytest.mark.parametrize("query", ["red light", "E4471 water pressure", "the of a"])
def test_hybrid_is_the_fusion_of_both_rankings(http: httpx.Client, manual: str, query: str) -> None:
    """Reciprocal rank fusion: a score is the sum of 1 / (K + rank) over the dense and the sparse ranking."""
    rankings = {
        mode: {name: rank for rank, name in enumerate(ids(every(http, query, manual, mode)), 1)}
        for mode in ("dense", "sparse")
    }
    expected = {
        name: sum(1 / (K + ranking[name]) for ranking in rankings.values() if name in ranking) for name in PASSAGES
    }

    fused = every(http, query, manual, "hybrid")

    assert sorted(ids(fused)) == sorted(PASSAGES)
    assert {result["id"]: result["score"] for result in fused} == pytest.approx(expected, abs=1e-6)
    scores = [result["score"] for result in fused]
    assert scores == sorted(scores, reverse=True)


def test_equal_ranks_come_in_the_same_order_always(http: httpx.Client, manual: str) -> None:
    """Whatever is first by one ranking and second by the other ties with its opposite; chance has no say."""
    answers = [ids(every(http, "pump water", manual, "hybrid")) for _ in range(5)]

    assert answers == [answers[0]] * 5


@pytest.mark.requires("collections")
def test_scores_of_own_weights_are_fused_as_documented(http: httpx.Client, collection: str) -> None:
    """1 / (1 + exp(-(bias + weights · scores))), each score as the search by itself tells it."""
    ok(http.put(f"/v1/collections/{collection}", json={"fusion": {"bias": -1, "dense": 2, "sparse": 0.5}}), 201)
    ingest(http, [{"id": key, "text": text} for key, text in PASSAGES.items()], collection=collection)
    alone = {
        mode: {found["id"]: found["score"] for found in every(http, "pump filter", collection, mode)}
        for mode in ("dense", "sparse")
    }

    fused = search(http, "pump filter", collection=collection, mode="hybrid", top_k=100, explain=True)

    expected = {
        name: 1 / (1 + math.exp(1 - 2 * alone["dense"][name] - 0.5 * alone["sparse"].get(name, 0)))
        for name in PASSAGES
    }
    assert {result["id"]: result["score"] for result in fused} == pytest.approx(expected, abs=1e-4)
    assert [result["score"] for result in fused] == sorted((result["score"] for result in fused), reverse=True)
    for result in fused:
        assert result["explain"]["fused"] == pytest.approx(result["score"], abs=1e-6)
        assert result["explain"]["sparse"] == pytest.approx(alone["sparse"].get(result["id"], 0.0), abs=1e-4)


def every(http: httpx.Client, query: str, collection: str, mode: str) -> list[Json]:
    """Return all that a mode finds."""
    return search(http, query, collection=collection, mode=mode, top_k=100)


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_a_filter_holds_in_every_mode(http: httpx.Client, manual: str, mode: str) -> None:
    """Only what it holds for is ranked: the first of them is first in both rankings."""
    results = search(
        http, "boiler warning light", collection=manual, mode=mode, filter={"device": True}, top_k=10, explain=True
    )

    assert ids(results)[0] == "boiler"
    assert set(ids(results)) <= {"pump", "boiler", "coffee"}
    assert results[0]["explain"]["ranks"]["sparse"] == 1
    if mode == "hybrid":
        assert len(results) == 3
        assert max(result["explain"]["ranks"]["dense"] for result in results) == 3


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_explain_shows_every_ranking(http: httpx.Client, manual: str, mode: str) -> None:
    """Scores and ranks of the rankings that were made, null for the others; the final score is among them."""
    final = {"dense": "dense", "sparse": "sparse", "hybrid": "fused"}[mode]
    made = {"dense": {"dense"}, "sparse": {"sparse"}, "hybrid": {"dense", "sparse", "fused"}}[mode]

    results = search(http, "pump filter", collection=manual, mode=mode, explain=True)

    for rank, result in enumerate(results, 1):
        explained = result["explain"]
        assert set(explained) == RANKINGS | {"ranks"}
        assert set(explained["ranks"]) == RANKINGS
        assert explained[final] == pytest.approx(result["score"], abs=1e-6)
        assert explained["ranks"][final] == rank
        for name in RANKINGS - made:
            assert explained[name] is explained["ranks"][name] is None
    assert all("explain" not in result for result in search(http, "pump", collection=manual, mode=mode))


def test_hybrid_explains_each_ranking_as_it_is(http: httpx.Client, manual: str) -> None:
    """Dense and sparse scores and ranks are those of the searches by themselves; null beyond a ranking."""
    alone = {mode: every(http, "E4471 lime", manual, mode) for mode in ("dense", "sparse")}

    for result in search(http, "E4471 lime", collection=manual, mode="hybrid", top_k=10, explain=True):
        for mode, results in alone.items():
            place = {found["id"]: (rank, found["score"]) for rank, found in enumerate(results, 1)}
            rank, score = place.get(result["id"], (None, None))
            assert result["explain"]["ranks"][mode] == rank
            assert result["explain"][mode] == (None if score is None else pytest.approx(score, abs=1e-5))


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_min_score_holds_in_every_mode(http: httpx.Client, manual: str, mode: str) -> None:
    """Results below it are left out, those at it are not."""
    found = search(http, "pump filter water", collection=manual, mode=mode, top_k=10)
    limit = (found[0]["score"] + found[1]["score"]) / 2

    assert ids(search(http, "pump filter water", collection=manual, mode=mode, min_score=limit)) == ids(found)[:1]


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_an_empty_collection_has_nothing_in_any_mode(http: httpx.Client, collection: str, mode: str) -> None:
    """No documents, no results, no error."""
    ingest(http, [{"id": "only", "text": "soon gone"}], collection=collection)
    ok(http.delete("/v1/documents/only", params={"collection": collection}))

    assert search(http, "soon gone", collection=collection, mode=mode) == []


def test_a_replaced_document_is_found_by_its_new_words(http: httpx.Client, collection: str) -> None:
    """The words of the old text find nothing any more."""
    ingest(http, [{"id": "a", "text": "walruses"}], collection=collection)
    ingest(http, [{"id": "a", "text": "narwhals"}], collection=collection)

    assert search(http, "walruses", collection=collection, mode="sparse") == []
    assert ids(search(http, "narwhals", collection=collection, mode="sparse")) == ["a"]


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
