"""`POST /v1/search` finds the nearest documents, with their cosine and their citation."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.client import assert_error, cosine, embed, embed_text, ingest, list_ids, make_unique, ok, search

pytestmark = pytest.mark.requires("ingest", "jobs", "search")

PASSAGES = {
    "volcano": "Magma that reaches the surface through a vent builds a volcano, layer upon layer of cooled lava.",
    "bread": "Sourdough bread rises because wild yeast in the starter ferments the sugars of the flour.",
    "python": "Python raises a KeyError when a dictionary is asked for a key that it does not hold.",
    "vacation": "Every employee is entitled to thirty days of paid vacation a year, five of which carry over.",
    "heart": "The heart's left ventricle pumps oxygenated blood through the aorta to the whole body.",
    "mortgage": "A fixed-rate mortgage keeps the same interest rate for the whole term of the loan.",
    "chess": "In chess, castling moves the king two squares towards a rook that has not moved.",
    "glacier": "As the climate warms, glaciers in the Alps retreat by several metres each summer.",
}
QUESTIONS = {
    "How many holidays do staff get?": "vacation",
    "What makes dough rise?": "bread",
    "Why does a dict lookup fail?": "python",
    "Which chamber sends blood to the aorta?": "heart",
    "How is a volcano formed?": "volcano",
    "Does my home loan's interest change?": "mortgage",
    "When may the king and rook swap places?": "chess",
    "Is the ice in the mountains melting?": "glacier",
}


@pytest.fixture(scope="module")
def library(http: httpx.Client) -> str:
    """Return the name of a collection with PASSAGES. Tests only read it."""
    name = f"library-{uuid4().hex[:12]}"
    ingest(
        http,
        [{"id": key, "text": text, "metadata": {"topic": key}} for key, text in PASSAGES.items()],
        collection=name,
    )
    return name


def test_the_answer_field_by_field(http: httpx.Client, library: str) -> None:
    """
    The answer has results, times and the model.

    Each result has its score, its text, its metadata and its citation.
    """
    answer = ok(http.post("/v1/search", json={"query": "lava", "collection": library}))

    assert set(answer) >= {"results", "took_ms", "timings_ms", "model"}
    assert answer["model"] == embed(http, "lava")["model"]
    for result in answer["results"]:
        assert set(result) >= {"id", "score", "text", "metadata", "citation"}
        assert result["text"] == PASSAGES[result["id"]]
        assert result["metadata"] == {"topic": result["id"]}
        assert set(result["citation"]) == {"document_id", "start", "end"}


def test_the_times_of_each_step(http: httpx.Client, library: str) -> None:
    """The milliseconds of the steps are not negative, and their sum is at most the whole time."""
    answer = ok(http.post("/v1/search", json={"query": make_unique("timed"), "collection": library}))

    steps = answer["timings_ms"]
    assert set(steps) >= {"tokenize", "queue", "infer", "retrieve", "rerank"}
    assert all(isinstance(spent, int | float) and spent >= 0 for spent in steps.values())
    assert sum(steps.values()) <= answer["took_ms"] * 1.05 + 1


def test_a_citation_leads_to_the_text(http: httpx.Client, library: str) -> None:
    """`start` and `end` are the character offsets of the result in the document."""
    for result in search(http, "anything", collection=library):
        citation = result["citation"]
        document = PASSAGES[citation["document_id"]]
        assert document[citation["start"] : citation["end"]] == result["text"]


def test_a_documents_own_text_finds_it_first(http: httpx.Client, library: str) -> None:
    """The text of a document finds it first, with a cosine of 1."""
    for key, text in PASSAGES.items():
        best = search(http, text, collection=library)[0]
        assert best["id"] == key
        assert best["score"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.requires("semantics")
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_finds_the_passage_that_answers(http: httpx.Client, library: str, question: str) -> None:
    """Search goes by meaning. Question and passage share hardly a word."""
    assert search(http, question, collection=library)[0]["id"] == QUESTIONS[question]


def test_the_score_is_the_cosine(http: httpx.Client, library: str) -> None:
    """Each score equals the cosine of the two embeddings that `/v1/embeddings` gives."""
    query = "Which chamber sends blood to the aorta?"
    query_vector = embed_text(http, query)

    results = search(http, query, collection=library, top_k=len(PASSAGES))

    assert len(results) == len(PASSAGES)
    for result in results:
        assert result["score"] == pytest.approx(cosine(query_vector, embed_text(http, result["text"])), abs=1e-4)


def test_results_are_ordered_by_score(http: httpx.Client, library: str) -> None:
    """Results come best first."""
    scores = [result["score"] for result in search(http, "lava and ice", collection=library, top_k=8)]

    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("top_k", "expected"), [(1, 1), (3, 3), (8, 8), (1000, 8)])
def test_top_k_limits_the_results(http: httpx.Client, library: str, top_k: int, expected: int) -> None:
    """Search returns the best `top_k` documents, or all if there are fewer."""
    result_ids = list_ids(search(http, "lava", collection=library, top_k=top_k))

    assert len(result_ids) == len(set(result_ids)) == expected
    assert result_ids == list_ids(search(http, "lava", collection=library, top_k=8))[:top_k]


def test_top_k_is_five_when_not_said(http: httpx.Client, library: str) -> None:
    """The default is five results."""
    assert len(search(http, "lava", collection=library)) == 5


def test_min_score_leaves_out_what_is_further(http: httpx.Client, library: str) -> None:
    """Results have at least `min_score`. There may be none."""
    results = search(http, PASSAGES["chess"], collection=library, top_k=8)
    limit = (results[0]["score"] + results[1]["score"]) / 2

    assert list_ids(search(http, PASSAGES["chess"], collection=library, min_score=limit)) == ["chess"]
    assert search(http, "nothing of the kind", collection=library, min_score=0.9999) == []
    assert len(search(http, "lava", collection=library, min_score=-1, top_k=8)) == len(results)


def test_options_may_be_null(http: httpx.Client, library: str) -> None:
    """null is the same as an option that is left out. The default mode is `dense`."""
    options: dict[str, Any] = dict.fromkeys(("filter", "min_score", "top_k", "mode", "rerank", "explain"))

    assert search(http, "lava", collection=library, **options) == search(http, "lava", collection=library)
    assert search(http, "lava", collection=library, mode="dense") == search(http, "lava", collection=library)


def test_an_empty_filter_leaves_nothing_out(http: httpx.Client, library: str) -> None:
    """The filter `{}` matches every document."""
    assert len(search(http, "lava", collection=library, filter={}, top_k=8)) == 8


def test_an_empty_collection_answers_with_an_empty_list(http: httpx.Client, collection: str) -> None:
    """An empty collection gives no results and no error. The query is embedded."""
    ingest(http, [{"id": "only", "text": "soon gone"}], collection=collection)
    ok(http.delete("/v1/documents/only", params={"collection": collection}))

    answer = ok(http.post("/v1/search", json={"query": make_unique("anyone"), "collection": collection}))

    assert answer["results"] == []
    assert answer["timings_ms"]["infer"] >= 0


def test_collections_are_kept_apart(http: httpx.Client, collection: str) -> None:
    """The same id in two collections is two documents. A search finds those of its collection only."""
    neighbour = f"{collection}-b"
    ingest(http, [{"id": "same", "text": "in the first"}], collection=collection)
    ingest(http, [{"id": "same", "text": "in the second"}], collection=neighbour)

    for name, text in ((collection, "in the first"), (neighbour, "in the second")):
        assert [result["text"] for result in search(http, "in the", collection=name)] == [text]


def test_an_unknown_collection_is_not_found(http: httpx.Client) -> None:
    """An unknown collection is an error that names it, not an empty answer."""
    body = {"query": "anyone", "collection": "no-such-collection"}

    error = assert_error(http.post("/v1/search", json=body), 404, "unknown_collection")

    assert error["param"] == "collection"
    assert "no-such-collection" in error["message"]


def test_a_query_longer_than_the_model_takes_is_truncated(http: httpx.Client, library: str) -> None:
    """A long query is cut at its end, as a long input is."""
    query = PASSAGES["glacier"] + " ice" * 3000

    assert len(search(http, query, collection=library)) == 5


@pytest.mark.parametrize("options", [{}, {"explain": True}, {"rerank": True, "explain": True}])
def test_an_equal_text_has_the_score_1(http: httpx.Client, collection: str, options: dict[str, Any]) -> None:
    """Rounding makes more or less of a cosine: `min_score` 1.0 finds the text, and no score is out of its bounds."""
    texts = [make_unique(f"{text} {number}") for number, text in enumerate([*PASSAGES.values()] * 4)]
    ingest(http, [{"text": text} for text in texts], collection=collection)

    for text in texts:
        [result] = search(http, text, collection=collection, min_score=1.0, **options | {"rerank": False})
        assert (result["text"], result["score"]) == (text, 1.0)
        for found in search(http, text, collection=collection, top_k=1_000, **options):
            explained = found.get("explain") or {}
            scores = [found["score"], *(explained.get(kind) for kind in ("dense", "late", "rerank"))]
            assert all(-1 <= score <= 1 for score in scores if score is not None), found


@pytest.mark.requires("hybrid")
@pytest.mark.parametrize(("stored", "asked"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_words_are_found_in_any_form_of_unicode(http: httpx.Client, collection: str, stored: str, asked: str) -> None:
    """Composed and decomposed letters are the same; the text and the citation stay as they were sent."""
    text = f"The {stored} opens at nine."
    ingest(http, [{"id": "a", "text": text}, {"id": "b", "text": "The library is closed."}], collection=collection)

    [result] = search(http, asked, collection=collection, mode="sparse")

    assert result["text"] == text
    assert text[result["citation"]["start"] : result["citation"]["end"]] == text
