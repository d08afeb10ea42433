"""`POST /v1/ingest`: durable jobs, replaced documents, idempotency."""

from __future__ import annotations

import uuid
from datetime import datetime

import httpx
import pytest

from tests.contract.wire import Server, assert_error, finished, ids, ingest, ok, samples, search, submit, unique

pytestmark = pytest.mark.requires("ingest", "jobs", "search")

JOB_FIELDS = {
    "job_id",
    "status",
    "total_documents",
    "processed_documents",
    "error",
    "errors",
    "started_at",
    "finished_at",
}


def test_202_carries_the_job_and_its_address(http: httpx.Client, collection: str) -> None:
    """The answer is a job that waits; `Location` leads to it."""
    body = {"documents": [{"id": "a", "text": "first"}, {"text": "second"}], "collection": collection}

    response = http.post("/v1/ingest", json=body)

    job = ok(response, 202)
    assert set(job) >= JOB_FIELDS
    assert job["status"] == "pending"
    assert job["total_documents"] == 2
    assert job["processed_documents"] == 0
    assert job["error"] is None
    assert job["errors"] == []
    assert job["finished_at"] is None
    assert response.headers["location"] == f"/v1/jobs/{job['job_id']}"
    assert ok(http.get(response.headers["location"]))["job_id"] == job["job_id"]


def test_a_job_completes(http: httpx.Client, collection: str) -> None:
    """A completed job has processed everything, without an error, and its times are ordered."""
    job = ingest(http, [{"text": f"document {number}"} for number in range(40)], collection=collection)

    assert job["processed_documents"] == job["total_documents"] == 40
    assert job["error"] is None
    assert job["errors"] == []
    started, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    assert started.tzinfo is not None
    assert started <= ended


def test_what_a_completed_job_ingested_is_found(http: httpx.Client, collection: str) -> None:
    """Once the job says completed, search finds every document, with its metadata."""
    texts = {f"doc-{number}": unique("the text of") for number in range(12)}

    ingest(
        http,
        [{"id": name, "text": text, "metadata": {"n": name}} for name, text in texts.items()],
        collection=collection,
    )

    for name, text in texts.items():
        best = search(http, text, collection=collection, top_k=1)[0]
        assert (best["id"], best["text"], best["metadata"]) == (name, text, {"n": name})


def test_without_a_collection_documents_go_to_the_default_one(http: httpx.Client) -> None:
    """Ingest and search without `collection` meet in the collection named "default"."""
    text = unique("kept by default")

    ingest(http, [{"id": text, "text": text}])

    assert ids(search(http, text, top_k=1)) == [text]
    assert ids(search(http, text, top_k=1, collection="default")) == [text]


def test_a_missing_id_is_made_from_the_content(http: httpx.Client, collection: str) -> None:
    """The same text without an id is the same document, however often it comes."""
    text = unique("nameless")

    ingest(http, [{"text": text}], collection=collection)
    [first] = ids(search(http, text, collection=collection))
    ingest(http, [{"text": text}, {"text": text + " too"}], collection=collection)

    found = search(http, text, collection=collection)
    assert len(found) == 2
    assert found[0]["id"] == first
    assert len(first) == 32
    assert int(first, 16) >= 0


def test_ingesting_an_id_again_replaces_the_document(http: httpx.Client, collection: str) -> None:
    """The old text is gone, the new one is found, and there is still one document."""
    old, new = unique("the old text"), unique("the new text")

    ingest(http, [{"id": "same", "text": old, "metadata": {"v": 1, "old": True}}], collection=collection)
    ingest(http, [{"id": "same", "text": new, "metadata": {"v": 2}}], collection=collection)

    [only] = search(http, old, collection=collection)
    assert only["text"] == new
    assert only["metadata"] == {"v": 2}
    assert search(http, new, collection=collection)[0]["score"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.requires("metrics")
def test_the_same_content_is_embedded_once(http: httpx.Client, target: Server, collection: str) -> None:
    """A second ingest of unchanged documents costs no forward pass."""
    documents = [{"id": str(number), "text": unique("unchanged")} for number in range(5)]
    ingest(http, documents, collection=collection)
    before = samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    ingest(http, documents, collection=collection)

    assert samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before
    assert len(search(http, "unchanged", collection=collection, top_k=50)) == 5


def test_equal_texts_under_two_ids_are_two_documents(http: httpx.Client, collection: str) -> None:
    """Sharing an embedding does not merge documents."""
    text = unique("shared")

    ingest(http, [{"id": "a", "text": text}, {"id": "b", "text": text}], collection=collection)

    assert sorted(ids(search(http, text, collection=collection))) == ["a", "b"]


def test_an_idempotency_key_answers_with_the_same_job(http: httpx.Client, collection: str) -> None:
    """A client that lost the answer asks again and gets the job it started, running or completed."""
    key, documents = uuid.uuid4().hex, [{"text": unique("only once")}]

    first = submit(http, documents, key, collection=collection)
    again = submit(http, documents, key, collection=collection)
    finished(http, first["job_id"])
    late = submit(http, documents, key, collection=collection)

    assert first["job_id"] == again["job_id"] == late["job_id"]
    assert late["status"] == "completed"


def test_an_idempotency_key_is_for_one_body(http: httpx.Client, collection: str) -> None:
    """The same key with another body is a client's mistake: 409, and nothing is ingested."""
    key = uuid.uuid4().hex
    ingest(http, [{"id": "a", "text": "one body"}], key=key, collection=collection)

    body = {"documents": [{"id": "b", "text": "another body"}], "collection": collection}
    response = http.post("/v1/ingest", json=body, headers={"Idempotency-Key": key})

    error = assert_error(response, 409, "idempotency_conflict")
    assert error["param"] == "Idempotency-Key"
    assert ids(search(http, "another body", collection=collection)) == ["a"]


def test_other_keys_are_other_jobs(http: httpx.Client, collection: str) -> None:
    """Without a key, or with another one, every request is a job of its own."""
    documents = [{"text": unique("again")}]

    jobs = [submit(http, documents, key, collection=collection)["job_id"] for key in (None, None, uuid.uuid4().hex)]

    assert len(set(jobs)) == 3


def test_one_wrong_document_refuses_the_whole_request(http: httpx.Client, collection: str) -> None:
    """All or nothing: a 400 leaves no document and no job behind."""
    ingest(http, [{"id": "before", "text": "already here"}], collection=collection)
    body = {"documents": [{"id": "good", "text": "good"}, {"id": "bad", "text": " "}], "collection": collection}

    error = assert_error(http.post("/v1/ingest", json=body), 400, "empty_input")

    assert error["param"] == "documents.1.text"
    assert ids(search(http, "good", collection=collection)) == ["before"]


@pytest.mark.parametrize(
    "name", ["https://example.org/a b?c=d#e", "\u00fcn\u00ef\u4f60\u597d \U0001f680", "..", "x" * 200]
)
@pytest.mark.requires("documents")
def test_ids_are_kept_as_they_are(http: httpx.Client, collection: str, name: str) -> None:
    """An id may be a URL, a title in any script, anything: it comes back unchanged."""
    ingest(http, [{"id": name, "text": "an id like any other"}], collection=collection)

    assert ids(search(http, "an id like any other", collection=collection)) == [name]


def test_metadata_comes_back_as_it_was(http: httpx.Client, collection: str) -> None:
    """Every JSON value survives: nested, null, empty, big, Unicode."""
    metadata = {
        "text": "not the document's",
        "id": 7,
        "nested": {"list": [1, 2.5, "three", None, True, {"deep": []}]},
        "empty": {},
        "null": None,
        "unicode \U0001f680": "\u4f60\u597d",
        "integer": 9_007_199_254_740_991,
        "negative": -1.5e-7,
    }

    ingest(http, [{"id": "a", "text": "a text", "metadata": metadata}], collection=collection)

    [found] = search(http, "a text", collection=collection)
    assert found["metadata"] == metadata
    assert found["text"] == "a text"


def test_a_text_longer_than_the_model_takes_is_kept_whole(http: httpx.Client, collection: str) -> None:
    """A long document is found, and its text comes back complete."""
    text = unique("begins here") + " and goes on" * 2000

    ingest(http, [{"id": "long", "text": text}], collection=collection)

    found = search(http, text, collection=collection)[0]
    assert found["id"] == "long"
    assert text[found["citation"]["start"] : found["citation"]["end"]] == found["text"]


def test_many_documents_in_one_request(http: httpx.Client, collection: str) -> None:
    """More documents than fit one batch: each is there once."""
    documents = [{"id": f"{number}", "text": f"item {number}"} for number in range(300)]

    job = ingest(http, documents, collection=collection)

    assert job["processed_documents"] == 300
    found = ids(search(http, "item", collection=collection, top_k=1000))
    assert sorted(found, key=int) == [document["id"] for document in documents]
