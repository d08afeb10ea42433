"""Chunking: long documents are cut into passages, cited exactly, and read back whole."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.contract.wire import (
    Json,
    Server,
    assert_error,
    embed,
    ids,
    ingest,
    ok,
    samples,
    search,
    submit,
    unique,
)

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "documents", "chunking")

SIZE = 32


def report(sections: int = 12, name: str = "report") -> str:
    """Write a text of some paragraphs, with what trips up counting: emoji, accents, odd white space."""
    parts = [
        f"Section {n} of the {name}. Th\u00e9 \U0001f680 crew noted item-{n}a;  then, after a while, item-{n}b "
        f"was noted as well.\n\nA second paragraph of section {n} says that number {n * n} is its square."
        for n in range(sections)
    ]
    # Passages share whole sentences, or whole words of a sentence too long for one passage, such as this.
    parts.append(" ".join(f"word{n}" for n in range(60)))
    return " \t\u3000" + "\r\n\r\n\n".join(parts) + " \n"


def read(http: httpx.Client, name: str, collection: str) -> Json:
    """Return a document."""
    return ok(http.get(f"/v1/documents/{name}", params={"collection": collection}))


def everything(http: httpx.Client, collection: str) -> list[Json]:
    """Return all passages of a collection."""
    return search(http, "section", collection=collection, top_k=1000)


def test_every_citation_quotes_the_document(http: httpx.Client, collection: str) -> None:
    """`start` and `end` cut the passage out of the document's text, to the character."""
    text = report()

    ingest(http, [{"id": "doc", "text": text, "metadata": {"year": 1999}}], collection=collection, chunk=chunk())

    passages = everything(http, collection)
    assert len(passages) > 12
    assert len(set(ids(passages))) == len(passages)
    for passage in passages:
        citation = passage["citation"]
        assert citation["document_id"] == "doc"
        assert text[citation["start"] : citation["end"]] == passage["text"]
        assert passage["metadata"] == {"year": 1999}


def chunk(max_tokens: int = SIZE, overlap: int = 0) -> dict[str, int]:
    """Return the field of an ingest."""
    return {"max_tokens": max_tokens, "overlap": overlap}


@pytest.mark.parametrize("overlap", [0, 12])
def test_a_document_is_read_back_whole(http: httpx.Client, collection: str, overlap: int) -> None:
    """The text to the last character, though its passages leave out white space or share words."""
    text = report()

    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=chunk(overlap=overlap))

    document = read(http, "doc", collection)
    assert document["text"] == text
    spans = [(passage["start"], passage["end"]) for passage in document["passages"]]
    assert spans == sorted(spans)
    assert all(start < end for start, end in spans)
    assert [passage["id"] for passage in document["passages"]] == [f"doc#{n}" for n in range(len(spans))]
    left_out = set(range(len(text))) - {at for start, end in spans for at in range(start, end)}
    assert "".join(text[at] for at in left_out).strip() == ""
    shared = [one_end > next_start for (_, one_end), (next_start, _) in pairwise(spans)]
    assert any(shared) is bool(overlap)


def test_no_passage_is_longer_than_asked_for(http: httpx.Client, collection: str) -> None:
    """Counted by the model's own tokenizer; a model may add two special tokens to each."""
    text = report()

    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=chunk(overlap=8))

    for passage in everything(http, collection):
        assert embed(http, passage["text"])["usage"]["prompt_tokens"] <= SIZE + 2


def test_a_passage_is_found_by_what_it_says(http: httpx.Client, collection: str) -> None:
    """What a whole text would have buried, or lost beyond the model's limit, is first."""
    text = report(40)
    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=chunk(64))
    for passage in everything(http, collection)[::7]:
        assert ids(search(http, passage["text"], collection=collection, top_k=1)) == [passage["id"]]


def test_a_short_document_is_one_passage(http: httpx.Client, collection: str) -> None:
    """It has the document's id, as if nothing had been said of cutting."""
    ingest(http, [{"id": "short", "text": "a short note"}], collection=collection, chunk=chunk())

    assert ids(search(http, "a short note", collection=collection)) == ["short"]
    assert read(http, "short", collection)["passages"] == [{"id": "short", "start": 0, "end": 12}]


def test_a_document_that_was_not_cut_is_one_passage(http: httpx.Client, collection: str) -> None:
    """Without `chunk`, here or in the profile, the whole text is what is found."""
    text = report(3)

    ingest(http, [{"id": "whole", "text": text}], collection=collection)

    assert read(http, "whole", collection)["passages"] == [{"id": "whole", "start": 0, "end": len(text)}]


def test_a_replaced_document_loses_all_its_passages(http: httpx.Client, collection: str) -> None:
    """The new version has fewer, then it is whole: nothing of an older one is found or read."""
    versions: list[tuple[str, Any]] = [
        (report(12, "first"), chunk()),
        (report(3, "second"), chunk()),
        ("third", None),
    ]
    for text, cut in versions:
        ingest(http, [{"id": "doc", "text": text}, {"id": "other", "text": text}], collection=collection, chunk=cut)

        assert read(http, "doc", collection)["text"] == text
        for passage in everything(http, collection):
            assert passage["text"] in text
        found = [passage["id"] for passage in everything(http, collection) if passage["id"].startswith("doc")]
        assert sorted(found) == sorted(passage["id"] for passage in read(http, "doc", collection)["passages"])
    assert sorted(ids(everything(http, collection))) == ["doc", "other"]


def test_a_deleted_document_loses_all_its_passages(http: httpx.Client, collection: str) -> None:
    """None is found any more, and its neighbour's are all there."""
    text = report(6)
    ingest(http, [{"id": name, "text": text} for name in "ab"], collection=collection, chunk=chunk())
    of_both = len(everything(http, collection))

    ok(http.delete("/v1/documents/a", params={"collection": collection}))

    left = everything(http, collection)
    assert len(left) == of_both / 2
    assert {passage["citation"]["document_id"] for passage in left} == {"b"}
    assert read(http, "b", collection)["text"] == text


@pytest.mark.requires("health")
def test_documents_are_counted_not_passages(http: httpx.Client, collection: str) -> None:
    """`/healthz` and the job count what was sent."""
    before = ok(http.get("/healthz"))["document_count"]

    job = ingest(http, [{"id": name, "text": report(5)} for name in "abc"], collection=collection, chunk=chunk())

    assert job["processed_documents"] == job["total_documents"] == 3
    assert ok(http.get("/healthz"))["document_count"] == before + 3


@pytest.mark.requires("metrics")
def test_the_same_passage_is_embedded_once(http: httpx.Client, target: Server, collection: str) -> None:
    """A document that grew at its end costs its new passages, and an unchanged one costs nothing."""
    text = report(8, unique("report"))
    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=chunk())
    first = len(everything(http, collection))
    before = samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")
    assert before

    ingest(http, [{"id": "copy", "text": text}], collection=collection, chunk=chunk())
    ingest(http, [{"id": "doc", "text": text}], collection=collection, chunk=chunk())

    assert samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before
    assert len(everything(http, collection)) == 2 * first


@pytest.mark.requires("collections")
def test_the_profile_cuts_what_does_not_say(http: httpx.Client, collection: str) -> None:
    """A collection's `chunk` holds for every ingest; one that says otherwise is cut otherwise."""
    ok(http.put(f"/v1/collections/{collection}", json={"chunk": chunk(16)}), 201)
    text = report(4)

    ingest(http, [{"id": "by-profile", "text": text}], collection=collection)
    ingest(http, [{"id": "by-itself", "text": text}], collection=collection, chunk=chunk(64))

    counts = {name: len(read(http, name, collection)["passages"]) for name in ("by-profile", "by-itself")}
    assert counts["by-profile"] > 2 * counts["by-itself"] > 2


def test_a_long_document_is_read_whole(http: httpx.Client, collection: str) -> None:
    """Hundreds of passages: each is there once, and the text comes back."""
    text = "\n".join(f"line {n} is a line of its own" for n in range(700))

    ingest(http, [{"id": "long", "text": text}], collection=collection, chunk=chunk(8))

    document = read(http, "long", collection)
    assert len(document["passages"]) >= 700
    assert document["text"] == text


def test_a_key_is_for_one_way_of_cutting(http: httpx.Client, collection: str) -> None:
    """The same documents cut otherwise are another request: 409 under the same key."""
    key = unique("key").replace(" ", "-")
    documents = [{"id": "a", "text": "one"}]
    first = submit(http, documents, key, collection=collection, chunk=chunk())
    assert submit(http, documents, key, collection=collection, chunk=chunk())["job_id"] == first["job_id"]

    body = {"documents": documents, "collection": collection, "chunk": chunk(64)}
    assert_error(http.post("/v1/ingest", json=body, headers={"Idempotency-Key": key}), 409, "idempotency_conflict")


@pytest.mark.requires("models")
def test_a_passage_may_be_as_long_as_the_model_reads(http: httpx.Client, collection: str, model: Json) -> None:
    """The limit itself is accepted, special tokens aside, and more than the model's limit never is."""
    limit = model["max_input_tokens"]
    body: dict[str, Any] = {"documents": [{"text": "x"}], "collection": collection}

    assert http.post("/v1/ingest", json=body | {"chunk": chunk(limit - 2)}).status_code == 202
    error = assert_error(http.post("/v1/ingest", json=body | {"chunk": chunk(limit + 1)}), 400, "invalid_value")
    assert error["param"] == "chunk.max_tokens"
    assert str(limit + 1) in error["message"]
