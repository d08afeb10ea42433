"""Chunking cuts long documents into passages with exact citations. The document is read back whole."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.contract.client import (
    Json,
    Server,
    assert_error,
    embed,
    ingest,
    list_ids,
    make_unique,
    ok,
    search,
    submit,
    sum_samples,
)

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "documents", "chunking")

SIZE = 32


def write_report(sections: int = 12, name: str = "report") -> str:
    """Return a text of several paragraphs, with emoji, accents and odd white space, which are hard to count."""
    parts = [
        f"Section {n} of the {name}. Th\u00e9 \U0001f680 crew noted item-{n}a;  then, after a while, item-{n}b "
        f"was noted as well.\n\nA second paragraph of section {n} says that number {n * n} is its square."
        for n in range(sections)
    ]
    # A sentence that is too long for one passage. Passages share whole sentences, or whole words of such a sentence.
    parts.append(" ".join(f"word{n}" for n in range(60)))
    return " \t\u3000" + "\r\n\r\n\n".join(parts) + " \n"


def read_document(http: httpx.Client, name: str, collection: str) -> Json:
    """Return a document."""
    return ok(http.get(f"/v1/documents/{name}", params={"collection": collection}))


def search_passages(http: httpx.Client, collection: str) -> list[Json]:
    """Return all passages of a collection."""
    return search(http, "section", collection=collection, top_k=1000)


def test_every_citation_quotes_the_document(http: httpx.Client, collection: str) -> None:
    """`start` and `end` are the exact character offsets of the passage in the document's text."""
    text = write_report()

    ingest(http, [{"id": "doc", "text": text, "metadata": {"year": 1999}}], collection=collection, chunk=make_chunk())

    passages = search_passages(http, collection)
    assert len(passages) > 12
    assert len(set(list_ids(passages))) == len(passages)
    for passage in passages:
        citation = passage["citation"]
        assert citation["document_id"] == "doc"
        assert text[citation["start"] : citation["end"]] == passage["text"]
        assert passage["metadata"] == {"year": 1999}


def make_chunk(max_tokens: int = SIZE, overlap: int = 0) -> dict[str, int]:
    """Return the field `chunk` of an ingest."""
    return {"max_tokens": max_tokens, "overlap": overlap}


@pytest.mark.parametrize("overlap", [0, 12])
def test_a_document_is_read_back_whole(http: httpx.Client, collection: str, overlap: int) -> None:
    """The text comes back to the last character, although passages leave out white space or share words."""
    text = write_report()

    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=make_chunk(overlap=overlap))

    document = read_document(http, "doc", collection)
    assert document["text"] == text
    spans = [(passage["start"], passage["end"]) for passage in document["passages"]]
    assert spans == sorted(spans)
    assert all(start < end for start, end in spans)
    assert [passage["id"] for passage in document["passages"]] == [f"doc#{n}" for n in range(len(spans))]
    gaps = set(range(len(text))) - {at for start, end in spans for at in range(start, end)}
    assert "".join(text[at] for at in gaps).strip() == ""
    overlaps = [one_end > next_start for (_, one_end), (next_start, _) in pairwise(spans)]
    assert any(overlaps) is bool(overlap)


def test_no_passage_is_longer_than_asked_for(http: httpx.Client, collection: str) -> None:
    """The model's tokenizer counts at most `max_tokens` per passage, plus two special tokens."""
    text = write_report()

    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=make_chunk(overlap=8))

    for passage in search_passages(http, collection):
        assert embed(http, passage["text"])["usage"]["prompt_tokens"] <= SIZE + 2


def test_a_passage_is_found_by_what_it_says(http: httpx.Client, collection: str) -> None:
    """Each passage is the first result for its own text, also beyond the model's token limit."""
    text = write_report(40)
    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=make_chunk(64))
    for passage in search_passages(http, collection)[::7]:
        assert list_ids(search(http, passage["text"], collection=collection, top_k=1)) == [passage["id"]]


def test_a_short_document_is_one_passage(http: httpx.Client, collection: str) -> None:
    """A short document becomes one passage with the document's id, as without `chunk`."""
    ingest(http, [{"id": "short", "text": "a short note"}], collection=collection, chunk=make_chunk())

    assert list_ids(search(http, "a short note", collection=collection)) == ["short"]
    assert read_document(http, "short", collection)["passages"] == [{"id": "short", "start": 0, "end": 12}]


def test_a_document_that_was_not_cut_is_one_passage(http: httpx.Client, collection: str) -> None:
    """Without `chunk` in the request or the profile, the whole text is one passage."""
    text = write_report(3)

    ingest(http, [{"id": "whole", "text": text}], collection=collection)

    assert read_document(http, "whole", collection)["passages"] == [{"id": "whole", "start": 0, "end": len(text)}]


def test_a_replaced_document_loses_all_its_passages(http: httpx.Client, collection: str) -> None:
    """Versions with fewer passages, and then without chunks, leave no passage of an older version."""
    versions: list[tuple[str, Any]] = [
        (write_report(12, "first"), make_chunk()),
        (write_report(3, "second"), make_chunk()),
        ("third", None),
    ]
    for text, chunking in versions:
        ingest(
            http, [{"id": "doc", "text": text}, {"id": "other", "text": text}], collection=collection, chunk=chunking
        )

        assert read_document(http, "doc", collection)["text"] == text
        for passage in search_passages(http, collection):
            assert passage["text"] in text
        passage_ids = [
            passage["id"] for passage in search_passages(http, collection) if passage["id"].startswith("doc")
        ]
        assert sorted(passage_ids) == sorted(
            passage["id"] for passage in read_document(http, "doc", collection)["passages"]
        )
    assert sorted(list_ids(search_passages(http, collection))) == ["doc", "other"]


def test_a_deleted_document_loses_all_its_passages(http: httpx.Client, collection: str) -> None:
    """Search finds no passage of a deleted document, and all passages of its neighbour."""
    text = write_report(6)
    ingest(http, [{"id": name, "text": text} for name in "ab"], collection=collection, chunk=make_chunk())
    count = len(search_passages(http, collection))

    ok(http.delete("/v1/documents/a", params={"collection": collection}))

    passages = search_passages(http, collection)
    assert len(passages) == count / 2
    assert {passage["citation"]["document_id"] for passage in passages} == {"b"}
    assert read_document(http, "b", collection)["text"] == text


@pytest.mark.requires("health")
def test_documents_are_counted_not_passages(http: httpx.Client, collection: str) -> None:
    """`/healthz` and the job count documents, not passages."""
    before = ok(http.get("/healthz"))["document_count"]

    job = ingest(
        http, [{"id": name, "text": write_report(5)} for name in "abc"], collection=collection, chunk=make_chunk()
    )

    assert job["processed_documents"] == job["total_documents"] == 3
    assert ok(http.get("/healthz"))["document_count"] == before + 3


@pytest.mark.requires("metrics")
def test_the_same_passage_is_embedded_once(http: httpx.Client, target: Server, collection: str) -> None:
    """Passages that were embedded before cost no forward pass, in the same document or in a copy."""
    text = write_report(8, make_unique("report"))
    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=make_chunk())
    count = len(search_passages(http, collection))
    before = sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")
    assert before

    ingest(http, [{"id": "copy", "text": text}], collection=collection, chunk=make_chunk())
    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=make_chunk())

    assert sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before
    assert len(search_passages(http, collection)) == 2 * count


@pytest.mark.requires("collections")
def test_the_profile_cuts_what_does_not_say(http: httpx.Client, collection: str) -> None:
    """The collection's `chunk` applies to every ingest, unless the ingest has its own."""
    ok(http.put(f"/v1/collections/{collection}", json={"chunk": make_chunk(16)}), 201)
    text = write_report(4)

    ingest(http, [{"id": "by-profile", "text": text}], collection=collection)
    ingest(http, [{"id": "by-itself", "text": text}], collection=collection, chunk=make_chunk(64))

    counts = {name: len(read_document(http, name, collection)["passages"]) for name in ("by-profile", "by-itself")}
    assert counts["by-profile"] > 2 * counts["by-itself"] > 2


def test_a_long_document_is_read_whole(http: httpx.Client, collection: str) -> None:
    """A document of hundreds of passages has each of them once, and its text comes back."""
    text = "\n".join(f"line {n} is a line of its own" for n in range(700))

    ingest(http, [{"id": "long", "text": text}], collection=collection, chunk=make_chunk(8))

    document = read_document(http, "long", collection)
    assert len(document["passages"]) >= 700
    assert document["text"] == text


def test_a_key_is_for_one_way_of_cutting(http: httpx.Client, collection: str) -> None:
    """The same documents with another `chunk` are another request, so the same key gives 409."""
    key = make_unique("key").replace(" ", "-")
    documents = [{"id": "a", "text": "one"}]
    first = submit(http, documents, key, collection=collection, chunk=make_chunk())
    assert submit(http, documents, key, collection=collection, chunk=make_chunk())["job_id"] == first["job_id"]

    body = {"documents": documents, "collection": collection, "chunk": make_chunk(64)}
    assert_error(http.post("/v1/ingest", json=body, headers={"Idempotency-Key": key}), 409, "idempotency_conflict")


@pytest.mark.requires("models")
def test_a_passage_may_be_as_long_as_the_model_reads(http: httpx.Client, collection: str, model: Json) -> None:
    """`max_tokens` may be the model's limit less its special tokens. More than the limit is refused."""
    limit = model["max_input_tokens"]
    body: dict[str, Any] = {"documents": [{"text": "x"}], "collection": collection}

    assert http.post("/v1/ingest", json=body | {"chunk": make_chunk(limit - 2)}).status_code == 202
    error = assert_error(http.post("/v1/ingest", json=body | {"chunk": make_chunk(limit + 1)}), 400, "invalid_value")
    assert error["param"] == "chunk.max_tokens"
    assert str(limit + 1) in error["message"]


def test_no_two_results_have_the_same_id(http: httpx.Client, collection: str) -> None:
    """A document may have the name that a passage of another document has."""
    ingest(http, [{"id": "guide", "text": write_report()}], collection=collection, chunk=make_chunk())
    ingest(http, [{"id": name, "text": f"section of {name}"} for name in ("guide#1", "other")], collection=collection)

    results = search_passages(http, collection)

    assert len(set(list_ids(results))) == len(results)
    assert {"guide#1", "other"} <= set(list_ids(results))
    named = [result["id"] for result in results if result["citation"]["document_id"] == "guide#1"]
    assert named == ["guide#1#0"]
