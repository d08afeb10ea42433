"""`POST /v1/ingest`: durable jobs, replaced documents, idempotency."""

from __future__ import annotations

import uuid
from datetime import datetime

import httpx
import pytest

from tests.contract.client import (
    Server,
    assert_error,
    ingest,
    list_ids,
    make_unique,
    ok,
    search,
    submit,
    sum_samples,
    wait_for_job,
)

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
    """The answer is a pending job, and `Location` is its path."""
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
    """A completed job has processed all documents without an error. It started before it finished."""
    job = ingest(http, [{"text": f"document {number}"} for number in range(40)], collection=collection)

    assert job["processed_documents"] == job["total_documents"] == 40
    assert job["error"] is None
    assert job["errors"] == []
    started, ended = (datetime.fromisoformat(job[name]) for name in ("started_at", "finished_at"))
    assert started.tzinfo is not None
    assert started <= ended


def test_what_a_completed_job_ingested_is_found(http: httpx.Client, collection: str) -> None:
    """As soon as a job is completed, search finds every document with its metadata."""
    texts = {f"doc-{number}": make_unique("the text of") for number in range(12)}

    ingest(
        http,
        [{"id": name, "text": text, "metadata": {"n": name}} for name, text in texts.items()],
        collection=collection,
    )

    for name, text in texts.items():
        best = search(http, text, collection=collection, top_k=1)[0]
        assert (best["id"], best["text"], best["metadata"]) == (name, text, {"n": name})


def test_without_a_collection_documents_go_to_the_default_one(http: httpx.Client) -> None:
    """Ingest and search without `collection` use the collection "default"."""
    text = make_unique("kept by default")

    ingest(http, [{"id": text, "text": text}])

    assert list_ids(search(http, text, top_k=1)) == [text]
    assert list_ids(search(http, text, top_k=1, collection="default")) == [text]


def test_a_missing_id_is_made_from_the_content(http: httpx.Client, collection: str) -> None:
    """The same text without an id is the same document, also if it is ingested twice."""
    text = make_unique("nameless")

    ingest(http, [{"text": text}], collection=collection)
    [document_id] = list_ids(search(http, text, collection=collection))
    ingest(http, [{"text": text}, {"text": text + " too"}], collection=collection)

    results = search(http, text, collection=collection)
    assert len(results) == 2
    assert results[0]["id"] == document_id
    assert len(document_id) == 32
    assert int(document_id, 16) >= 0


def test_ingesting_an_id_again_replaces_the_document(http: httpx.Client, collection: str) -> None:
    """The collection has one document with the new text, and the old text is gone."""
    old, new = make_unique("the old text"), make_unique("the new text")

    ingest(http, [{"id": "same", "text": old, "metadata": {"v": 1, "old": True}}], collection=collection)
    ingest(http, [{"id": "same", "text": new, "metadata": {"v": 2}}], collection=collection)

    [result] = search(http, old, collection=collection)
    assert result["text"] == new
    assert result["metadata"] == {"v": 2}
    assert search(http, new, collection=collection)[0]["score"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.requires("metrics")
def test_the_same_content_is_embedded_once(http: httpx.Client, target: Server, collection: str) -> None:
    """A second ingest of unchanged documents costs no forward pass."""
    documents = [{"id": str(number), "text": make_unique("unchanged")} for number in range(5)]
    ingest(http, documents, collection=collection)
    before = sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total")

    ingest(http, documents, collection=collection)

    assert sum_samples(httpx.get(target.metrics_url).text, "gateway_forward_texts_total") == before
    assert len(search(http, "unchanged", collection=collection, top_k=50)) == 5


def test_equal_texts_under_two_ids_are_two_documents(http: httpx.Client, collection: str) -> None:
    """Documents with the same text are not merged."""
    text = make_unique("shared")

    ingest(http, [{"id": "a", "text": text}, {"id": "b", "text": text}], collection=collection)

    assert sorted(list_ids(search(http, text, collection=collection))) == ["a", "b"]


def test_an_idempotency_key_answers_with_the_same_job(http: httpx.Client, collection: str) -> None:
    """A client that lost the answer sends the request again, and gets the job that it started."""
    key, documents = uuid.uuid4().hex, [{"text": make_unique("only once")}]

    job = submit(http, documents, key, collection=collection)
    repeated_job = submit(http, documents, key, collection=collection)
    wait_for_job(http, job["job_id"])
    later_job = submit(http, documents, key, collection=collection)

    assert job["job_id"] == repeated_job["job_id"] == later_job["job_id"]
    assert later_job["status"] == "completed"


def test_an_idempotency_key_is_for_one_body(http: httpx.Client, collection: str) -> None:
    """The same key with another body is a 409, and nothing is ingested."""
    key = uuid.uuid4().hex
    ingest(http, [{"id": "a", "text": "one body"}], key=key, collection=collection)

    body = {"documents": [{"id": "b", "text": "another body"}], "collection": collection}
    response = http.post("/v1/ingest", json=body, headers={"Idempotency-Key": key})

    error = assert_error(response, 409, "idempotency_conflict")
    assert error["param"] == "Idempotency-Key"
    assert list_ids(search(http, "another body", collection=collection)) == ["a"]


def test_other_keys_are_other_jobs(http: httpx.Client, collection: str) -> None:
    """Without a key, or with another key, every request is a new job."""
    documents = [{"text": make_unique("again")}]

    jobs = [submit(http, documents, key, collection=collection)["job_id"] for key in (None, None, uuid.uuid4().hex)]

    assert len(set(jobs)) == 3


def test_one_wrong_document_refuses_the_whole_request(http: httpx.Client, collection: str) -> None:
    """A request with a wrong document is a 400, and none of its documents is ingested."""
    ingest(http, [{"id": "before", "text": "already here"}], collection=collection)
    body = {"documents": [{"id": "good", "text": "good"}, {"id": "bad", "text": " "}], "collection": collection}

    error = assert_error(http.post("/v1/ingest", json=body), 400, "empty_input")

    assert error["param"] == "documents.1.text"
    assert list_ids(search(http, "good", collection=collection)) == ["before"]


@pytest.mark.parametrize(
    "name", ["https://example.org/a b?c=d#e", "\u00fcn\u00ef\u4f60\u597d \U0001f680", "..", "x" * 200]
)
@pytest.mark.requires("documents")
def test_ids_are_kept_as_they_are(http: httpx.Client, collection: str, name: str) -> None:
    """An id comes back unchanged. It may be a URL or a title in any script."""
    ingest(http, [{"id": name, "text": "an id like any other"}], collection=collection)

    assert list_ids(search(http, "an id like any other", collection=collection)) == [name]


def test_metadata_comes_back_as_it_was(http: httpx.Client, collection: str) -> None:
    """Every JSON value comes back: nested, null, empty, big, Unicode."""
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

    [result] = search(http, "a text", collection=collection)
    assert result["metadata"] == metadata
    assert result["text"] == "a text"


def test_a_text_longer_than_the_model_takes_is_kept_whole(http: httpx.Client, collection: str) -> None:
    """A document that is longer than the model's limit is found, and its text comes back."""
    text = make_unique("begins here") + " and goes on" * 2000

    ingest(http, [{"id": "long", "text": text}], collection=collection)

    result = search(http, text, collection=collection)[0]
    assert result["id"] == "long"
    assert text[result["citation"]["start"] : result["citation"]["end"]] == result["text"]


def test_many_documents_in_one_request(http: httpx.Client, collection: str) -> None:
    """Each document of a request with more than one batch is in the collection once."""
    documents = [{"id": f"{number}", "text": f"item {number}"} for number in range(300)]

    job = ingest(http, documents, collection=collection)

    assert job["processed_documents"] == 300
    result_ids = list_ids(search(http, "item", collection=collection, top_k=1000))
    assert sorted(result_ids, key=int) == [document["id"] for document in documents]


def test_an_ingest_that_waits_is_found_by_the_next_search(http: httpx.Client, collection: str) -> None:
    """With `wait_s` the answer tells of the completed job."""
    text = make_unique("found at once")

    job = submit(http, [{"text": text}], collection=collection, wait_s=30)

    assert job["status"] == "completed"
    assert search(http, text, collection=collection, top_k=1)[0]["text"] == text


def test_an_ingest_waits_no_longer_than_it_is_asked_to(http: httpx.Client, collection: str) -> None:
    """The documents are accepted all the same, also if the deadline of the request is the shorter time."""
    documents = [{"text": make_unique(f"one of many {number}")} for number in range(400)]
    body = {"documents": documents, "collection": collection, "wait_s": 30}

    response = http.post("/v1/ingest", json=body, headers={"X-Request-Timeout-Ms": "1500"})

    job = ok(response, 202)
    assert job["status"] in {"pending", "running", "completed"}
    assert wait_for_job(http, job["job_id"])["processed_documents"] == len(documents)


def test_a_collection_that_is_being_made_is_named_with_its_job(http: httpx.Client, collection: str) -> None:
    """A search right after the 202 is told what to wait for, and not to ingest."""
    documents = [{"text": make_unique(f"a long one {number} " + "of words " * 200)} for number in range(40)]
    job = submit(http, documents, collection=collection)

    response = http.post("/v1/search", json={"query": "a long one", "collection": collection})

    if response.status_code == 404:  # the job may have begun to write
        message = assert_error(response, 404, "unknown_collection")["message"]
        assert f"{collection!r} is being made by job {job['job_id']}" in message
        assert f"GET /v1/jobs/{job['job_id']}" in message
    assert wait_for_job(http, job["job_id"])["status"] == "completed"
    assert len(search(http, "a long one", collection=collection)) == 5
