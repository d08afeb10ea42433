"""`GET /v1/documents/{id}` reads a document, `DELETE` removes it from search."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.contract.client import Json, assert_error, ingest, list_ids, make_unique, ok, search, submit, wait_for_job

# More documents than a worker embeds before a request that comes at once.
QUEUED = 200
pytestmark = pytest.mark.requires("ingest", "jobs", "search", "documents")


def test_a_document_is_read_by_its_id(http: httpx.Client, collection: str) -> None:
    """Text and metadata come back as they were ingested."""
    document = {"id": "d-1", "text": make_unique("read me"), "metadata": {"lang": "en", "year": 1999}}
    ingest(http, [document], collection=collection)

    answer = ok(http.get("/v1/documents/d-1", params={"collection": collection}))

    assert {name: answer[name] for name in document} == document


def test_a_document_without_metadata_has_an_empty_object(http: httpx.Client, collection: str) -> None:
    """`metadata` is always an object."""
    ingest(
        http,
        [{"id": "bare", "text": "bare"}, {"id": "null", "text": "null", "metadata": None}],
        collection=collection,
    )

    for name in ("bare", "null"):
        assert ok(http.get(f"/v1/documents/{name}", params={"collection": collection}))["metadata"] == {}


def test_a_deleted_document_is_gone_at_once(http: httpx.Client, collection: str) -> None:
    """The next search does not find a deleted document, and GET is a 404. Other documents stay."""
    texts = {name: make_unique(f"document {name}") for name in ("a", "b", "c")}
    ingest(http, [{"id": name, "text": text} for name, text in texts.items()], collection=collection)

    answer = ok(http.delete("/v1/documents/b", params={"collection": collection}))

    assert (answer["id"], answer["deleted"]) == ("b", True)
    assert sorted(list_ids(search(http, texts["b"], collection=collection))) == ["a", "c"]
    response = http.get("/v1/documents/b", params={"collection": collection})
    assert_error(response, 404, "unknown_document")


def test_deleting_twice_is_not_found(http: httpx.Client, collection: str) -> None:
    """The second DELETE is a 404 that names the document."""
    ingest(http, [{"id": "once", "text": "once"}], collection=collection)
    ok(http.delete("/v1/documents/once", params={"collection": collection}))

    response = http.delete("/v1/documents/once", params={"collection": collection})

    assert "once" in assert_error(response, 404, "unknown_document")["message"]


def test_a_deleted_document_can_come_back(http: httpx.Client, collection: str) -> None:
    """A document that is ingested again after its deletion is found."""
    document = {"id": "phoenix", "text": make_unique("ashes")}
    ingest(http, [document], collection=collection)
    ok(http.delete("/v1/documents/phoenix", params={"collection": collection}))

    ingest(http, [document], collection=collection)

    assert list_ids(search(http, document["text"], collection=collection)) == ["phoenix"]


def test_a_document_that_is_deleted_while_its_job_runs_stays_deleted(http: httpx.Client, collection: str) -> None:
    """Whether the job has written it or not; its neighbours come, and a later ingest brings it back."""
    last = {"id": "last", "text": make_unique("the last one")}
    others = [{"id": f"other-{number}", "text": f"document {number}"} for number in range(QUEUED)]
    job = submit(http, [*others, last], collection=collection)

    answer = ok(http.delete("/v1/documents/last", params={"collection": collection}))

    assert (answer["id"], answer["deleted"]) == ("last", True)
    assert wait_for_job(http, job["job_id"])["processed_documents"] == QUEUED + 1
    assert_error(http.get("/v1/documents/last", params={"collection": collection}), 404, "unknown_document")
    assert_error(http.delete("/v1/documents/last", params={"collection": collection}), 404, "unknown_document")
    assert ok(http.get(f"/v1/documents/other-{QUEUED - 1}", params={"collection": collection}))
    ingest(http, [last], collection=collection)
    assert ok(http.get("/v1/documents/last", params={"collection": collection}))["text"] == last["text"]


def test_an_older_version_is_deleted_with_the_one_that_waits(http: httpx.Client, collection: str) -> None:
    """The deletion comes after both."""
    ingest(http, [{"id": "page", "text": "an old version"}], collection=collection)
    others = [{"id": f"other-{number}", "text": f"document {number}"} for number in range(QUEUED)]
    job = submit(http, [*others, {"id": "page", "text": "a new version"}], collection=collection)

    ok(http.delete("/v1/documents/page", params={"collection": collection}))

    wait_for_job(http, job["job_id"])
    assert_error(http.get("/v1/documents/page", params={"collection": collection}), 404, "unknown_document")
    assert "page" not in list_ids(search(http, "a version", collection=collection))


def test_without_a_collection_the_default_one_is_meant(http: httpx.Client) -> None:
    """GET and DELETE without `collection` use the collection "default"."""
    name = make_unique("d").replace(" ", "-")
    ingest(http, [{"id": name, "text": name}])

    assert ok(http.get(f"/v1/documents/{name}"))["text"] == name
    assert ok(http.delete(f"/v1/documents/{name}"))["deleted"] is True
    assert_error(http.get(f"/v1/documents/{name}"), 404, "unknown_document")


@pytest.mark.parametrize("name", ["a/b/c", "https://example.org/x?y=z#w", "\u4f60\u597d \U0001f680", "50%25", "a+b"])
def test_any_id_can_be_read_and_deleted(http: httpx.Client, collection: str, name: str) -> None:
    """Any id can be read and deleted. The client percent-encodes it in the path, a slash too."""
    ingest(http, [{"id": name, "text": "any id"}], collection=collection)
    path = f"/v1/documents/{quote(name, safe='')}"

    assert ok(http.get(path, params={"collection": collection}))["id"] == name
    assert ok(http.delete(path, params={"collection": collection}))["id"] == name
    assert search(http, "any id", collection=collection) == []


def test_an_unknown_document_is_not_found(http: httpx.Client) -> None:
    """The message repeats the id of the unknown document."""
    error = assert_error(http.get("/v1/documents/no-such-document"), 404, "unknown_document")

    assert "no-such-document" in error["message"]


def test_an_id_may_be_any_text(http: httpx.Client, collection: str) -> None:
    """Documents whose ids have line breaks, slashes or percent signs can be read and deleted."""
    for document_id in ("a\nb", "a/b/../c", "50%", "naïve ☕", "?q=1#x"):
        ingest(http, [{"id": document_id, "text": f"about {document_id!r}"}], collection=collection)
        path = f"/v1/documents/{quote(document_id, safe='')}"

        assert ok(http.get(path, params={"collection": collection}))["id"] == document_id
        assert ok(http.delete(path, params={"collection": collection}))["deleted"] is True


def list_pages(http: httpx.Client, collection: str, limit: int) -> list[list[Json]]:
    """Return the documents of a collection, page by page."""
    pages: list[list[Json]] = []
    after = None
    while not pages or after:
        params: dict[str, str | int] = {"collection": collection, "limit": limit}
        if after:
            params["after"] = after
        page = ok(http.get("/v1/documents", params=params))
        pages.append(page["data"])
        after = page["next"]
    return pages


@pytest.mark.requires("chunking")
def test_documents_are_listed_page_by_page(http: httpx.Client, collection: str) -> None:
    """Every document comes once, with its metadata and its number of passages, in the same order every time."""
    documents = [{"id": f"d/{n}", "text": f"document {n}", "metadata": {"n": n}} for n in range(7)]
    ingest(http, documents, collection=collection)
    long = {"id": "long", "text": "A sentence of some words stands here. " * 30}
    ingest(http, [long], collection=collection, chunk={"max_tokens": 32})

    whole = list_pages(http, collection, 100)
    pages = list_pages(http, collection, 3)

    assert [len(page) for page in pages] == [3, 3, 2]
    assert whole == [[document for page in pages for document in page]]
    listed = {document["id"]: document for document in whole[0]}
    assert set(listed) == {"long", *(document["id"] for document in documents)}
    assert listed["d/3"] == {"id": "d/3", "metadata": {"n": 3}, "passages": 1}
    passages = ok(http.get("/v1/documents/long", params={"collection": collection}))["passages"]
    assert listed["long"]["passages"] == len(passages) > 1


def test_a_page_may_begin_after_a_document_that_is_gone(http: httpx.Client, collection: str) -> None:
    """A client that deletes what it lists sees every document."""
    ingest(http, [{"id": f"d{n}", "text": f"document {n}"} for n in range(5)], collection=collection)
    ids = [document["id"] for document in list_pages(http, collection, 100)[0]]
    http.delete(f"/v1/documents/{ids[1]}", params={"collection": collection})

    page = ok(http.get("/v1/documents", params={"collection": collection, "after": ids[1]}))

    assert [document["id"] for document in page["data"]] == ids[2:]


def test_the_list_of_an_unknown_collection_is_not_found(http: httpx.Client) -> None:
    """As with every other route."""
    assert_error(http.get("/v1/documents", params={"collection": "no-such"}), 404, "unknown_collection")
