"""`GET/DELETE /v1/documents/{id}`: read one, or make search forget it."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from tests.contract.wire import assert_error, ids, ingest, ok, search, unique

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "documents")


def test_a_document_is_read_by_its_id(http: httpx.Client, collection: str) -> None:
    """Text and metadata come back as they were ingested."""
    document = {"id": "d-1", "text": unique("read me"), "metadata": {"lang": "en", "year": 1999}}
    ingest(http, [document], collection=collection)

    found = ok(http.get("/v1/documents/d-1", params={"collection": collection}))

    assert {name: found[name] for name in document} == document


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
    """The very next search does not find it, reading it is a 404, and its neighbours stay."""
    texts = {name: unique(f"document {name}") for name in ("a", "b", "c")}
    ingest(http, [{"id": name, "text": text} for name, text in texts.items()], collection=collection)

    answer = ok(http.delete("/v1/documents/b", params={"collection": collection}))

    assert (answer["id"], answer["deleted"]) == ("b", True)
    assert sorted(ids(search(http, texts["b"], collection=collection))) == ["a", "c"]
    response = http.get("/v1/documents/b", params={"collection": collection})
    assert_error(response, 404, "unknown_document")


def test_deleting_twice_is_not_found(http: httpx.Client, collection: str) -> None:
    """The second DELETE says that there is nothing to delete."""
    ingest(http, [{"id": "once", "text": "once"}], collection=collection)
    ok(http.delete("/v1/documents/once", params={"collection": collection}))

    response = http.delete("/v1/documents/once", params={"collection": collection})

    assert "once" in assert_error(response, 404, "unknown_document")["message"]


def test_a_deleted_document_can_come_back(http: httpx.Client, collection: str) -> None:
    """Ingesting the same document after its deletion brings it back."""
    document = {"id": "phoenix", "text": unique("ashes")}
    ingest(http, [document], collection=collection)
    ok(http.delete("/v1/documents/phoenix", params={"collection": collection}))

    ingest(http, [document], collection=collection)

    assert ids(search(http, document["text"], collection=collection)) == ["phoenix"]


def test_without_a_collection_the_default_one_is_meant(http: httpx.Client) -> None:
    """Reading and deleting default to the collection "default"."""
    name = unique("d").replace(" ", "-")
    ingest(http, [{"id": name, "text": name}])

    assert ok(http.get(f"/v1/documents/{name}"))["text"] == name
    assert ok(http.delete(f"/v1/documents/{name}"))["deleted"] is True
    assert_error(http.get(f"/v1/documents/{name}"), 404, "unknown_document")


@pytest.mark.parametrize("name", ["a/b/c", "https://example.org/x?y=z#w", "\u4f60\u597d \U0001f680", "50%25", "a+b"])
def test_any_id_can_be_read_and_deleted(http: httpx.Client, collection: str, name: str) -> None:
    """An id in the path is percent-encoded by the client; a slash may be in it."""
    ingest(http, [{"id": name, "text": "any id"}], collection=collection)
    path = f"/v1/documents/{quote(name, safe='')}"

    assert ok(http.get(path, params={"collection": collection}))["id"] == name
    assert ok(http.delete(path, params={"collection": collection}))["id"] == name
    assert search(http, "any id", collection=collection) == []


def test_an_unknown_document_is_not_found(http: httpx.Client) -> None:
    """The message repeats the id that was asked for."""
    error = assert_error(http.get("/v1/documents/no-such-document"), 404, "unknown_document")

    assert "no-such-document" in error["message"]


def test_an_id_may_be_any_text(http: httpx.Client, collection: str) -> None:
    """Line breaks, slashes and percent signs are part of an id, for reading and for deleting."""
    for document_id in ("a\nb", "a/b/../c", "50%", "naïve ☕", "?q=1#x"):
        ingest(http, [{"id": document_id, "text": f"about {document_id!r}"}], collection=collection)
        path = f"/v1/documents/{quote(document_id, safe='')}"

        assert ok(http.get(path, params={"collection": collection}))["id"] == document_id
        assert ok(http.delete(path, params={"collection": collection}))["deleted"] is True
