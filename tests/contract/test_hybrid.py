"""The modes `sparse` and `hybrid` of `POST /v1/search`, which search by words, and by words and meaning."""

from __future__ import annotations

import math

import httpx
import pytest

from tests.contract.client import PASSAGES, Json, Server, ingest, list_ids, ok, post_search, search, sum_samples

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "hybrid")

# The constant of the documented fusion: a rank counts 1 / (K + rank).
K = 1
RANKINGS = {"dense", "sparse", "fused", "late", "rerank"}


def test_sparse_finds_the_word_itself(http: httpx.Client, manual: str) -> None:
    """A code that no model knows finds only the passages that contain it."""
    assert list_ids(search(http, "E4471", collection=manual, mode="sparse")) == ["pump"]
    assert search(http, "E4472", collection=manual, mode="sparse") == []


def test_sparse_knows_forms_of_a_word(http: httpx.Client, manual: str) -> None:
    """Words are stemmed, and letter case does not count. Stop words such as "the" and "of" find nothing."""
    assert list_ids(search(http, "TOMATO", collection=manual, mode="sparse")) == ["garden"]
    assert search(http, "the of a", collection=manual, mode="sparse") == []


def test_rare_words_weigh_more(http: httpx.Client, manual: str) -> None:
    """Two passages have "filter" and nearly all have "water", so those with "filter" come first."""
    results = search(http, "water filter", collection=manual, mode="sparse", top_k=10)

    assert list_ids(results)[0] == "filter"
    assert list_ids(results)[1] == "pump"
    assert sorted(list_ids(results)) == sorted(PASSAGES)
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.requires("metrics")
def test_sparse_does_not_embed_the_query(http: httpx.Client, target: Server, manual: str) -> None:
    """A search in the mode `sparse` costs no forward pass."""
    before = sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    search(http, "red light", collection=manual, mode="sparse")

    assert sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before


def test_the_answer_names_the_model_that_read_the_query(http: httpx.Client, manual: str, model: Json) -> None:
    """`model` is bm25 in the mode `sparse`, else the embedding model. `reranker_model` is null without a reranker."""
    for mode, name in (("dense", model["id"]), ("sparse", "bm25"), ("hybrid", model["id"])):
        answer = post_search(http, "red light", collection=manual, mode=mode)
        assert (answer["model"], answer["reranker_model"]) == (name, None)
        assert set(answer["timings_ms"]) == {"tokenize", "queue", "infer", "retrieve", "rerank"}
        assert answer["timings_ms"]["rerank"] == 0.0


@pytest.mark.parametrize("query", ["red light", "E4471 water pressure", "the of a"])
def test_hybrid_is_the_fusion_of_both_rankings(http: httpx.Client, manual: str, query: str) -> None:
    """A score is the sum of 1 / (K + rank) over both rankings (reciprocal rank fusion)."""
    rankings = {
        mode: {name: rank for rank, name in enumerate(list_ids(search_all(http, query, manual, mode)), 1)}
        for mode in ("dense", "sparse")
    }
    expected = {
        name: sum(1 / (K + ranking[name]) for ranking in rankings.values() if name in ranking) for name in PASSAGES
    }

    fused = search_all(http, query, manual, "hybrid")

    assert sorted(list_ids(fused)) == sorted(PASSAGES)
    assert {result["id"]: result["score"] for result in fused} == pytest.approx(expected, abs=1e-6)
    scores = [result["score"] for result in fused]
    assert scores == sorted(scores, reverse=True)


def test_equal_ranks_come_in_the_same_order_always(http: httpx.Client, manual: str) -> None:
    """Results with equal scores have the same order in every answer."""
    answers = [list_ids(search_all(http, "pump water", manual, "hybrid")) for _ in range(5)]

    assert answers == [answers[0]] * 5


@pytest.mark.requires("collections")
def test_scores_of_own_weights_are_fused_as_documented(http: httpx.Client, collection: str) -> None:
    """A fused score is 1 / (1 + exp(-(bias + weights · scores))), with the scores of the single searches."""
    ok(http.put(f"/v1/collections/{collection}", json={"fusion": {"bias": -1, "dense": 2, "sparse": 0.5}}), 201)
    ingest(http, [{"id": key, "text": text} for key, text in PASSAGES.items()], collection=collection)
    alone = {
        mode: {result["id"]: result["score"] for result in search_all(http, "pump filter", collection, mode)}
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


def search_all(http: httpx.Client, query: str, collection: str, mode: str) -> list[Json]:
    """Return all results of a search in one mode."""
    return search(http, query, collection=collection, mode=mode, top_k=100)


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_a_filter_holds_in_every_mode(http: httpx.Client, manual: str, mode: str) -> None:
    """Only passages that match the filter are ranked. Ranks count these passages alone."""
    results = search(
        http, "boiler warning light", collection=manual, mode=mode, filter={"device": True}, top_k=10, explain=True
    )

    assert list_ids(results)[0] == "boiler"
    assert set(list_ids(results)) <= {"pump", "boiler", "coffee"}
    assert results[0]["explain"]["ranks"]["sparse"] == 1
    if mode == "hybrid":
        assert len(results) == 3
        assert max(result["explain"]["ranks"]["dense"] for result in results) == 3


@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_explain_shows_every_ranking(http: httpx.Client, manual: str, mode: str) -> None:
    """`explain` has the score and rank in each ranking of the mode, and null for the other rankings."""
    final = {"dense": "dense", "sparse": "sparse", "hybrid": "fused"}[mode]
    rankings = {"dense": {"dense"}, "sparse": {"sparse"}, "hybrid": {"dense", "sparse", "fused"}}[mode]

    results = search(http, "pump filter", collection=manual, mode=mode, explain=True)

    for rank, result in enumerate(results, 1):
        explanation = result["explain"]
        assert set(explanation) == RANKINGS | {"ranks"}
        assert set(explanation["ranks"]) == RANKINGS
        assert explanation[final] == pytest.approx(result["score"], abs=1e-6)
        assert explanation["ranks"][final] == rank
        for name in RANKINGS - rankings:
            assert explanation[name] is explanation["ranks"][name] is None
    assert all("explain" not in result for result in search(http, "pump", collection=manual, mode=mode))


def test_hybrid_explains_each_ranking_as_it_is(http: httpx.Client, manual: str) -> None:
    """Scores and ranks are those of the single searches. They are null for a result outside of a ranking."""
    alone = {mode: search_all(http, "E4471 lime", manual, mode) for mode in ("dense", "sparse")}

    for result in search(http, "E4471 lime", collection=manual, mode="hybrid", top_k=10, explain=True):
        for mode, results in alone.items():
            place = {mode_result["id"]: (rank, mode_result["score"]) for rank, mode_result in enumerate(results, 1)}
            rank, score = place.get(result["id"], (None, None))
            assert result["explain"]["ranks"][mode] == rank
            assert result["explain"][mode] == (None if score is None else pytest.approx(score, abs=1e-5))


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_min_score_holds_in_every_mode(http: httpx.Client, manual: str, mode: str) -> None:
    """Results below `min_score` are left out."""
    results = search(http, "pump filter water", collection=manual, mode=mode, top_k=10)
    limit = (results[0]["score"] + results[1]["score"]) / 2

    assert (
        list_ids(search(http, "pump filter water", collection=manual, mode=mode, min_score=limit))
        == list_ids(results)[:1]
    )


@pytest.mark.parametrize("mode", ["sparse", "hybrid"])
def test_an_empty_collection_has_nothing_in_any_mode(http: httpx.Client, collection: str, mode: str) -> None:
    """An empty collection gives no results and no error."""
    ingest(http, [{"id": "only", "text": "soon gone"}], collection=collection)
    ok(http.delete("/v1/documents/only", params={"collection": collection}))

    assert search(http, "soon gone", collection=collection, mode=mode) == []


def test_a_replaced_document_is_found_by_its_new_words(http: httpx.Client, collection: str) -> None:
    """The words of the new text find the document, and those of the old text find nothing."""
    ingest(http, [{"id": "a", "text": "walruses"}], collection=collection)
    ingest(http, [{"id": "a", "text": "narwhals"}], collection=collection)

    assert search(http, "walruses", collection=collection, mode="sparse") == []
    assert list_ids(search(http, "narwhals", collection=collection, mode="sparse")) == ["a"]
