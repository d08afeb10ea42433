"""`/v1/collections` creates, changes, lists and deletes collections and their retrieval profiles."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import Json, assert_error, ingest, list_ids, make_unique, ok, search, submit, wait_for_job

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "collections")


def put_collection(http: httpx.Client, name: str, status: int = 200, **profile: Any) -> Json:
    """Return the answer of `PUT /v1/collections/{name}`."""
    return ok(http.put(f"/v1/collections/{name}", json=profile), status)


def read_collection(http: httpx.Client, name: str) -> Json:
    """Return the answer of `GET /v1/collections/{name}`."""
    return ok(http.get(f"/v1/collections/{name}"))


def test_a_new_collection_has_the_defaults(http: httpx.Client, collection: str, model: Json) -> None:
    """A new collection is empty. Its profile has the default models, five results, no reranker and no `chunk`."""
    profile = put_collection(http, collection, 201)

    assert profile == {
        "object": "collection",
        "name": collection,
        "embedding_model": model["id"],
        "dimensions": model["dimensions"],
        "sparse_model": "bm25",
        "reranker_model": None,
        "top_k": 5,
        "chunk": None,
        "late_interaction": profile["late_interaction"],
        "fusion": None,
        "vector_source": profile["vector_source"],
        "document_count": 0,
    }
    assert read_collection(http, collection) == profile
    assert search(http, "anything", collection=collection) == []


def test_putting_it_again_changes_it(http: httpx.Client, collection: str) -> None:
    """The second PUT is a 200 and replaces the profile. Fields that it leaves out have their defaults again."""
    put_collection(http, collection, 201, top_k=3, chunk={"max_tokens": 64, "overlap": 8})

    assert read_collection(http, collection)["chunk"] == {"max_tokens": 64, "overlap": 8}
    assert read_collection(http, collection)["top_k"] == 3
    profile = put_collection(http, collection, chunk={"max_tokens": 32})
    assert (profile["top_k"], profile["chunk"]) == (5, {"max_tokens": 32, "overlap": 0})
    assert read_collection(http, collection) == profile


@pytest.mark.parametrize(
    ("fusion", "read_back"),
    [
        ("rrf", "rrf"),
        ({"dense": 2, "sparse": 0.5}, {"bias": 0.0, "dense": 2.0, "sparse": 0.5, "late": 0.0}),
        (None, None),
    ],
)
def test_how_rankings_are_fused_is_chosen(http: httpx.Client, collection: str, fusion: Any, read_back: Any) -> None:
    """The profile sets fusion by ranks, by its own weights, or as in the gateway, also with documents in it."""
    ingest(http, [{"id": "a", "text": "walruses"}], collection=collection)

    assert put_collection(http, collection, fusion=fusion)["fusion"] == read_back
    assert read_collection(http, collection)["fusion"] == read_back


@pytest.mark.parametrize("fusion", ["sums", {}, {"bm25": 1}, {"dense": "1"}, {"dense": True}, 3, [1]])
def test_a_fusion_that_is_none_is_refused(http: httpx.Client, collection: str, fusion: Any) -> None:
    """A wrong `fusion` is a 400. The message names the values that are right."""
    error = assert_error(http.put(f"/v1/collections/{collection}", json={"fusion": fusion}), 400)

    assert error["param"] == "fusion"
    assert "must be rrf, scores, or numbers by the names bias, dense, sparse, late" in error["message"]


@pytest.mark.requires("rerank_search")
def test_whether_tokens_are_stored_is_chosen_once(http: httpx.Client, collection: str) -> None:
    """
    `late_interaction` can be changed while the collection is empty. With documents a change is refused.

    A PUT without the field keeps its value.
    """
    for store_tokens in (True, False, True):
        response = http.put(f"/v1/collections/{collection}", json={"late_interaction": store_tokens})
        assert response.status_code in (200, 201), response.text
        assert response.json()["late_interaction"] is store_tokens
    ingest(http, [{"text": make_unique()}], collection=collection)

    conflict = http.put(f"/v1/collections/{collection}", json={"late_interaction": False})

    assert assert_error(conflict, 409, "collection_not_empty")["param"] == "late_interaction"
    assert put_collection(http, collection, top_k=7)["late_interaction"] is True


@pytest.mark.requires("models")
def test_models_are_taken_by_any_name(http: httpx.Client, collection: str, model: Json) -> None:
    """An alias is accepted, and the profile names the id."""
    rerankers = [entry for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "rerank"]
    assert rerankers
    for name in [model["id"], *model["aliases"]]:
        assert http.put(f"/v1/collections/{collection}", json={"embedding_model": name}).status_code in (200, 201)
        assert read_collection(http, collection)["embedding_model"] == model["id"]
    for name in [rerankers[0]["id"], *rerankers[0]["aliases"]]:
        assert put_collection(http, collection, reranker_model=name)["reranker_model"] == rerankers[0]["id"]


def test_a_document_makes_its_collection(http: httpx.Client, collection: str) -> None:
    """Ingest into an unknown collection creates it with the defaults."""
    assert_error(http.get(f"/v1/collections/{collection}"), 404, "unknown_collection")

    ingest(http, [{"text": make_unique()}, {"text": make_unique()}], collection=collection)

    profile = read_collection(http, collection)
    assert profile["document_count"] == 2
    assert (profile["sparse_model"], profile["reranker_model"], profile["top_k"], profile["chunk"]) == (
        "bm25",
        None,
        5,
        None,
    )


def test_the_list_has_all_of_them(http: httpx.Client, collection: str) -> None:
    """The list is ordered by name and has the default collection. Each entry is the answer of GET."""
    for name in (f"{collection}-b", f"{collection}-a"):
        put_collection(http, name, 201)

    answer = ok(http.get("/v1/collections"))

    assert answer["object"] == "list"
    names = [entry["name"] for entry in answer["data"]]
    assert names == sorted(names)
    assert set(names) >= {"default", f"{collection}-a", f"{collection}-b"}
    assert next(entry for entry in answer["data"] if entry["name"] == f"{collection}-a") == read_collection(
        http, f"{collection}-a"
    )


def test_the_profile_says_how_many_results(http: httpx.Client, collection: str) -> None:
    """A search without `top_k` uses that of the collection."""
    put_collection(http, collection, 201, top_k=2)
    ingest(http, [{"text": make_unique("a note")} for _ in range(4)], collection=collection)

    assert len(search(http, "a note", collection=collection)) == 2
    assert len(search(http, "a note", collection=collection, top_k=3)) == 3
    put_collection(http, collection, top_k=4)
    assert len(search(http, "a note", collection=collection)) == 4


@pytest.mark.requires("rerank_search")
def test_the_profile_names_the_reranker(http: httpx.Client, collection: str) -> None:
    """Searches use the profile's reranker, unless they send `rerank: false`."""
    reranker = ok(http.post("/v1/rerank", json={"query": "who judges?", "documents": ["I do"]}))["model"]
    put_collection(http, collection, 201, reranker_model=reranker)
    ingest(http, [{"text": make_unique("a note")} for _ in range(3)], collection=collection)
    body = {"query": "a note", "collection": collection}

    assert ok(http.post("/v1/search", json=body))["reranker_model"] == reranker
    assert ok(http.post("/v1/search", json=body | {"rerank": False}))["reranker_model"] is None
    put_collection(http, collection)
    assert ok(http.post("/v1/search", json=body))["reranker_model"] is None


def test_a_profile_changes_without_touching_the_documents(http: httpx.Client, collection: str, model: Json) -> None:
    """With documents in it, a collection can change everything but its models. The same models are no change."""
    text = make_unique("stays")
    ingest(http, [{"id": "a", "text": text}], collection=collection)

    profile = put_collection(http, collection, embedding_model=model["id"], sparse_model="bm25", top_k=9)

    assert (profile["top_k"], profile["document_count"]) == (9, 1)
    assert list_ids(search(http, text, collection=collection)) == ["a"]


@pytest.mark.requires("second_model")
def test_documents_keep_their_model(http: httpx.Client, collection: str, model: Json) -> None:
    """Another embedding model is a conflict while the collection has documents. Without documents it is accepted."""
    dense = [entry for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "dense"]
    other_model = next(entry for entry in dense if entry["id"] != model["id"])
    ingest(http, [{"id": "a", "text": "in the way"}], collection=collection)
    path, body = f"/v1/collections/{collection}", {"embedding_model": other_model["id"]}

    error = assert_error(http.put(path, json=body), 409, "collection_not_empty")

    assert error["param"] == "embedding_model"
    assert model["id"] in error["message"]
    assert read_collection(http, collection)["embedding_model"] == model["id"]
    assert list_ids(search(http, "in the way", collection=collection)) == ["a"]
    ok(http.delete("/v1/documents/a", params={"collection": collection}))
    profile = put_collection(http, collection, **body)
    assert (profile["embedding_model"], profile["dimensions"]) == (other_model["id"], other_model["dimensions"])


@pytest.mark.requires("second_model")
def test_collections_of_two_models_side_by_side(http: httpx.Client, collection: str, model: Json) -> None:
    """Each collection is searched with its own model and its own dimensions."""
    dense = [entry["id"] for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "dense"]
    for number, name in enumerate(dense[:2]):
        put_collection(http, f"{collection}-{number}", 201, embedding_model=name)
        ingest(http, [{"id": name, "text": f"embedded with {name}"}], collection=f"{collection}-{number}")

    for number, name in enumerate(dense[:2]):
        body = {"query": f"embedded with {name}", "collection": f"{collection}-{number}"}
        answer = ok(http.post("/v1/search", json=body))
        assert answer["model"] == name
        assert [result["id"] for result in answer["results"]] == [name]
        assert answer["results"][0]["score"] == pytest.approx(1.0, abs=1e-3)


def test_a_forgotten_collection_is_gone(http: httpx.Client, collection: str) -> None:
    """A deleted collection is an error for GET, DELETE and search, and not in the list. Other collections stay."""
    neighbour = f"{collection}-b"
    for name in (collection, neighbour):
        ingest(http, [{"id": "same", "text": f"in {name}"}], collection=name)

    answer = ok(http.delete(f"/v1/collections/{collection}"))

    assert (answer["name"], answer["deleted"]) == (collection, True)
    assert_error(http.get(f"/v1/collections/{collection}"), 404, "unknown_collection")
    assert_error(http.delete(f"/v1/collections/{collection}"), 404, "unknown_collection")
    response = http.post("/v1/search", json={"query": "in", "collection": collection})
    assert assert_error(response, 404, "unknown_collection")["param"] == "collection"
    assert collection not in [entry["name"] for entry in ok(http.get("/v1/collections"))["data"]]
    assert list_ids(search(http, "in", collection=neighbour)) == ["same"]


@pytest.mark.requires("health")
def test_forgotten_documents_are_not_counted(http: httpx.Client, collection: str) -> None:
    """`/healthz` does not count the documents of a deleted collection."""
    before = ok(http.get("/healthz"))["document_count"]
    ingest(http, [{"text": make_unique()} for _ in range(3)], collection=collection)
    assert ok(http.get("/healthz"))["document_count"] == before + 3

    ok(http.delete(f"/v1/collections/{collection}"))

    assert ok(http.get("/healthz"))["document_count"] == before


def test_a_collection_begins_anew(http: httpx.Client, collection: str) -> None:
    """A collection with the name of a deleted one has none of its documents and not its profile."""
    put_collection(http, collection, 201, top_k=1)
    ingest(http, [{"id": "old", "text": "the old one"}], collection=collection)
    ok(http.delete(f"/v1/collections/{collection}"))

    ingest(http, [{"id": "new", "text": "the new one"}], collection=collection)

    assert list_ids(search(http, "the old one", collection=collection)) == ["new"]
    assert read_collection(http, collection)["top_k"] == 5


@pytest.mark.requires("cancel")
def test_forgetting_a_collection_cancels_its_jobs(http: httpx.Client, collection: str) -> None:
    """Pending jobs do not create the deleted collection again. Jobs of other collections run."""
    put_collection(http, collection, 201)
    jobs = [submit(http, [{"text": f"{n} of {part}"} for n in range(4_000)], collection=collection) for part in "ab"]
    other_job = submit(http, [{"text": make_unique()}], collection=f"{collection}-b")

    ok(http.delete(f"/v1/collections/{collection}"))

    for job in jobs:
        assert ok(http.get(f"/v1/jobs/{job['job_id']}"))["status"] == "cancelled"
    assert wait_for_job(http, other_job["job_id"])["status"] == "completed"
    assert_error(http.get(f"/v1/collections/{collection}"), 404, "unknown_collection")


def test_an_unknown_collection_is_named(http: httpx.Client, collection: str) -> None:
    """The message repeats the name of the unknown collection."""
    for response in (http.get(f"/v1/collections/{collection}"), http.delete(f"/v1/collections/{collection}")):
        assert collection in assert_error(response, 404, "unknown_collection")["message"]
