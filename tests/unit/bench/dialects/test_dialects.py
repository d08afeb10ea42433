"""The request bodies of each dialect, and the answers that it accepts."""

from __future__ import annotations

import orjson
import pytest

from bench import dialects
from bench.dialects.openai import Ranked
from bench.errors import AnswerError

GATEWAY, STUDY, OPENAI = (dialects.load(name) for name in ("gateway", "study", "openai"))


@pytest.mark.parametrize(
    ("route", "path", "sent"),
    [
        ("embeddings", "/v1/embeddings", {"input": "why?"}),
        ("search", "/v1/search", {"query": "why?", "top_k": 5}),
        ("search-hybrid", "/v1/search", {"query": "why?", "top_k": 5, "mode": "hybrid"}),
        ("search-reranked", "/v1/search", {"query": "why?", "top_k": 5, "rerank": True}),
    ],
)
def test_every_way_to_ask_one_text(route: str, path: str, sent: dict[str, object]) -> None:
    """The body of each route has the fields of its search mode."""
    assert GATEWAY.path(route) == path
    assert orjson.loads(GATEWAY.body(route, "why?")) == sent


def test_rerank_and_ingest_have_bodies_of_their_own() -> None:
    """A rerank body lists documents, an ingest body has ids and texts."""
    ranked = orjson.loads(GATEWAY.rerank_body("why?", ("a", "b")))
    ingested = orjson.loads(GATEWAY.ingest_body({"1": "a"}))

    assert ranked == {"query": "why?", "documents": ["a", "b"], "return_documents": False}
    assert [(row["id"], row["text"]) for row in ingested["documents"]] == [("1", "a")]
    assert (GATEWAY.path("rerank"), GATEWAY.path("ingest")) == ("/v1/rerank", "/v1/ingest")


@pytest.mark.parametrize(
    ("dialect", "route"), [(OPENAI, "search"), (OPENAI, "rerank"), (STUDY, "rerank"), (STUDY, "search-hybrid")]
)
def test_a_route_a_dialect_does_not_have_is_named(dialect: dialects.Dialect, route: str) -> None:
    """The error lists the routes of the dialect."""
    with pytest.raises(AnswerError, match=rf"no route '{route}'; it has embeddings"):
        dialect.path(route)


def test_a_body_of_one_text_is_not_made_for_other_routes() -> None:
    """A body of a single text for rerank is an error and not a search."""
    with pytest.raises(AnswerError, match="rerank"):
        GATEWAY.body("rerank", "why?")


def test_a_model_is_asked_for_by_name_where_the_target_needs_one() -> None:
    """The body names the model if the target has one, and leaves the choice to the target otherwise."""
    assert orjson.loads(dialects.load("openai", "m").embed_body(["a"])) == {"input": ["a"], "model": "m"}
    assert orjson.loads(OPENAI.embed_body(["a"])) == {"input": ["a"]}


def test_a_ranking_is_read_in_the_order_given() -> None:
    """The ranking has index and score of each document, best first."""
    raw = b'{"results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}'

    assert GATEWAY.read_rerank(raw) == [Ranked(1, 0.9), Ranked(0, 0.1)]
    assert GATEWAY.check("rerank", raw, 2)


@pytest.mark.parametrize(
    "results",
    [
        "null",
        '[{"index":0}]',
        '[{"index":0,"relevance_score":null},{"index":1,"relevance_score":0}]',
        '[{"index":0,"relevance_score":0.5}]',
        '[{"index":0,"relevance_score":0.5},{"index":0,"relevance_score":0.4}]',
        '[{"index":0,"relevance_score":0.5},{"index":2,"relevance_score":0.4}]',
        '[{"index":0,"relevance_score":0.4},{"index":1,"relevance_score":0.5}]',
        '[{"index":0,"relevance_score":NaN},{"index":1,"relevance_score":0.5}]',
    ],
)
def test_a_ranking_must_hold_every_document_once_with_descending_scores(results: str) -> None:
    """Missing, duplicate, unknown or unordered documents and scores that are not finite are errors."""
    with pytest.raises(AnswerError):
        GATEWAY.check("rerank", b'{"results":' + results.encode() + b"}", 2)


def test_the_other_answers_hold_something_or_are_refused() -> None:
    """A search without results is empty; an ingest without a job and a wrong number of vectors are errors."""
    vector = b'{"data":[{"index":0,"embedding":[0.6,0.8]}]}'

    assert GATEWAY.check("search-hybrid", b'{"results":[{"id":"1","score":0.5}]}')
    assert not GATEWAY.check("search-reranked", b'{"results":[]}')
    assert GATEWAY.check("ingest", b'{"job_id":"7","status":"pending"}', 64)
    assert GATEWAY.check("embeddings", vector, 1)
    with pytest.raises(AnswerError, match="job_id"):
        GATEWAY.check("ingest", b"{}")
    with pytest.raises(AnswerError, match="not 2 vectors"):
        GATEWAY.check("embeddings", vector, 2)
