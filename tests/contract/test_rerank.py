"""`POST /v1/rerank` ranks documents by their relevance to a query."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, assert_error, ok

pytestmark = pytest.mark.requires("rerank")

QUERY = "How many vacation days do I get?"
DOCUMENTS = [
    "The parking policy is in section 5",
    "You get 20 vacation days per year",
    "You can request time off here",
]


def rerank(http: httpx.Client, documents: Any = DOCUMENTS, /, **options: Any) -> Json:
    """Return the whole answer."""
    return ok(http.post("/v1/rerank", json={"query": QUERY, "documents": documents} | options))


def get_scores(answer: Json) -> dict[int, float]:
    """Return the scores by the documents' places in the request."""
    return {result["index"]: result["relevance_score"] for result in answer["results"]}


def test_every_document_comes_back_once_best_first(http: httpx.Client) -> None:
    """
    Results are sorted by score, from 0 to 1, each with its place and its text.

    `usage` counts the tokens.
    """
    answer = rerank(http)

    assert sorted(result["index"] for result in answer["results"]) == [0, 1, 2]
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(result["document"] == {"text": DOCUMENTS[result["index"]]} for result in answer["results"])
    assert answer["id"]
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] > 0


def test_a_query_is_counted_once_however_many_documents(http: httpx.Client) -> None:
    """The tokens of 40 documents, more than one pass compares, are 40 times those of one, plus the query once."""
    tokens = [rerank(http, DOCUMENTS[:1] * count)["usage"]["prompt_tokens"] for count in (1, 2, 40)]

    assert tokens[2] - tokens[0] == 39 * (tokens[1] - tokens[0])


@pytest.mark.requires("semantics")
def test_the_document_that_answers_is_first(http: httpx.Client) -> None:
    """The passage about vacation days comes first, the passage about parking last."""
    assert [result["index"] for result in rerank(http)["results"]] == [1, 2, 0]


def test_the_same_words_score_highest(http: httpx.Client) -> None:
    """A document that is the query itself comes first, with a score above 0.9."""
    answer = rerank(http, [*DOCUMENTS, QUERY])

    assert answer["results"][0]["index"] == 3
    assert answer["results"][0]["relevance_score"] > 0.9


@pytest.mark.parametrize("name", ["top_n", "top_k"])
def test_top_n_keeps_the_best(http: httpx.Client, name: str) -> None:
    """`top_n` and `top_k` limit the results. A limit above the number of documents changes nothing."""
    everything = rerank(http)["results"]

    assert rerank(http, **{name: 2})["results"] == everything[:2]
    assert rerank(http, **{name: 99})["results"] == everything


def test_documents_may_be_objects(http: httpx.Client) -> None:
    """`{"text": ...}` is ranked as its text, without its other fields. Texts and objects may be mixed."""
    mixed: list[Any] = [DOCUMENTS[0], {"text": DOCUMENTS[1], "title": "HR"}, {"text": DOCUMENTS[2]}]

    assert rerank(http, mixed)["results"] == rerank(http)["results"]


def test_documents_can_be_left_out_of_the_answer(http: httpx.Client) -> None:
    """With `return_documents: false` the results have only places and scores."""
    assert all(
        set(result) == {"index", "relevance_score"} for result in rerank(http, return_documents=False)["results"]
    )


def test_raw_scores_rank_the_same(http: httpx.Client) -> None:
    """`raw_scores: true` gives the scores of the model, in the same order."""
    raw, relevant = rerank(http, raw_scores=True), rerank(http)

    assert [result["index"] for result in raw["results"]] == [result["index"] for result in relevant["results"]]


def test_a_score_does_not_depend_on_the_other_documents(http: httpx.Client) -> None:
    """A document has the same score alone and among many documents of all lengths."""
    documents = [*DOCUMENTS, *(f"{'filler ' * length}number {length}" for length in range(1, 120))]

    single_scores = [get_scores(rerank(http, [document]))[0] for document in DOCUMENTS]
    batch_scores = get_scores(rerank(http, documents=documents))

    assert [batch_scores[at] for at in range(3)] == pytest.approx(single_scores, abs=1e-4)
    assert len(batch_scores) == len(documents)


@pytest.mark.parametrize(
    "text", ["\u0007\u0000", "👩‍👩‍👧", "word " * 5_000, "ß" * 700], ids=["controls", "emoji", "long", "rare"]
)
def test_hard_documents_get_a_score(http: httpx.Client, text: str) -> None:
    """Control characters, emoji, long and rare words get a score. A long document is cut."""
    assert set(get_scores(rerank(http, [text, DOCUMENTS[1]]))) == {0, 1}


def test_a_reranker_is_named_by_its_id(http: httpx.Client) -> None:
    """null is the default reranker, and the answer names its id."""
    answer = rerank(http, model=None)

    assert rerank(http, model=answer["model"])["results"] == answer["results"]
    assert ok(http.get(f"/v1/models/{answer['model']}"))["kind"] == "rerank"


def test_a_dense_model_does_not_rerank(http: httpx.Client, model: Json) -> None:
    """A dense model is a 400. The message names its kind and the rerankers."""
    body = {"query": "a", "documents": ["b"], "model": model["id"]}

    error = assert_error(http.post("/v1/rerank", json=body), 400, "wrong_model_kind")

    assert error["param"] == "model"
    assert "dense" in error["message"]
    assert rerank(http)["model"] in error["message"]


def test_unknown_fields_are_ignored(http: httpx.Client) -> None:
    """Unknown fields change nothing."""
    assert rerank(http, max_chunks_per_doc=3, user="me")["results"] == rerank(http)["results"]
