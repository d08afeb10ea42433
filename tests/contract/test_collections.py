"""`/v1/collections`: retrieval profiles, made, changed, listed and forgotten."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.wire import Json, assert_error, finished, ids, ingest, ok, search, submit, unique

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "collections")


def put(http: httpx.Client, name: str, status: int = 200, **profile: Any) -> Json:
    """Return the answer of `PUT /v1/collections/{name}`."""
    return ok(http.put(f"/v1/collections/{name}", json=profile), status)


def read(http: httpx.Client, name: str) -> Json:
    """Return the answer of `GET /v1/collections/{name}`."""
    return ok(http.get(f"/v1/collections/{name}"))


def test_a_new_collection_has_the_defaults(http: httpx.Client, collection: str, model: Json) -> None:
    """201, the default models, five results, no reranker, nothing cut, and nothing in it."""
    made = put(http, collection, 201)

    assert made == {
        "object": "collection",
        "name": collection,
        "embedding_model": model["id"],
        "dimensions": model["dimensions"],
        "sparse_model": "bm25",
        "reranker_model": None,
        "top_k": 5,
        "chunk": None,
        "late_interaction": made["late_interaction"],
        "fusion": None,
        "document_count": 0,
    }
    assert read(http, collection) == made
    assert search(http, "anything", collection=collection) == []


def test_putting_it_again_changes_it(http: httpx.Client, collection: str) -> None:
    """The second PUT is a 200 and replaces the profile: what it leaves out is the default again."""
    put(http, collection, 201, top_k=3, chunk={"max_tokens": 64, "overlap": 8})

    assert read(http, collection)["chunk"] == {"max_tokens": 64, "overlap": 8}
    assert read(http, collection)["top_k"] == 3
    changed = put(http, collection, chunk={"max_tokens": 32})
    assert (changed["top_k"], changed["chunk"]) == (5, {"max_tokens": 32, "overlap": 0})
    assert read(http, collection) == changed


@pytest.mark.parametrize(
    ("fusion", "read_back"),
    [
        ("rrf", "rrf"),
        ({"dense": 2, "sparse": 0.5}, {"bias": 0.0, "dense": 2.0, "sparse": 0.5, "late": 0.0}),
        (None, None),
    ],
)
def test_how_rankings_are_fused_is_chosen(http: httpx.Client, collection: str, fusion: Any, read_back: Any) -> None:
    """By ranks, by weights of its own, or as the gateway does; it can be changed while documents are there."""
    ingest(http, [{"id": "a", "text": "walruses"}], collection=collection)

    assert put(http, collection, fusion=fusion)["fusion"] == read_back
    assert read(http, collection)["fusion"] == read_back


@pytest.mark.parametrize("fusion", ["sums", {}, {"bm25": 1}, {"dense": "1"}, {"dense": True}, 3, [1]])
def test_a_fusion_that_is_none_is_refused(http: httpx.Client, collection: str, fusion: Any) -> None:
    """400, with what would be right."""
    error = assert_error(http.put(f"/v1/collections/{collection}", json={"fusion": fusion}), 400)

    assert error["param"] == "fusion"
    assert "must be rrf, scores, or numbers by the names bias, dense, sparse, late" in error["message"]


@pytest.mark.requires("rerank_search")
def test_whether_tokens_are_stored_is_chosen_once(http: httpx.Client, collection: str) -> None:
    """On and off while it is empty; with documents in it a change is refused, and whoever does not say keeps it."""
    for stored in (True, False, True):
        response = http.put(f"/v1/collections/{collection}", json={"late_interaction": stored})
        assert response.status_code in (200, 201), response.text
        assert response.json()["late_interaction"] is stored
    ingest(http, [{"text": unique()}], collection=collection)

    refused = http.put(f"/v1/collections/{collection}", json={"late_interaction": False})

    assert assert_error(refused, 409, "collection_not_empty")["param"] == "late_interaction"
    assert put(http, collection, top_k=7)["late_interaction"] is True


@pytest.mark.requires("models")
def test_models_are_taken_by_any_name(http: httpx.Client, collection: str, model: Json) -> None:
    """An alias is accepted, and the profile names the id."""
    rerankers = [entry for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "rerank"]
    assert rerankers
    for name in [model["id"], *model["aliases"]]:
        assert http.put(f"/v1/collections/{collection}", json={"embedding_model": name}).status_code in (200, 201)
        assert read(http, collection)["embedding_model"] == model["id"]
    for name in [rerankers[0]["id"], *rerankers[0]["aliases"]]:
        assert put(http, collection, reranker_model=name)["reranker_model"] == rerankers[0]["id"]


def test_a_document_makes_its_collection(http: httpx.Client, collection: str) -> None:
    """Ingest into an unknown collection makes it, with the defaults."""
    assert_error(http.get(f"/v1/collections/{collection}"), 404, "unknown_collection")

    ingest(http, [{"text": unique()}, {"text": unique()}], collection=collection)

    made = read(http, collection)
    assert made["document_count"] == 2
    assert (made["sparse_model"], made["reranker_model"], made["top_k"], made["chunk"]) == ("bm25", None, 5, None)


def test_the_list_has_all_of_them(http: httpx.Client, collection: str) -> None:
    """Each entry is what reading it gives, ordered by name; the default collection is always there."""
    for name in (f"{collection}-b", f"{collection}-a"):
        put(http, name, 201)

    listed = ok(http.get("/v1/collections"))

    assert listed["object"] == "list"
    names = [entry["name"] for entry in listed["data"]]
    assert names == sorted(names)
    assert set(names) >= {"default", f"{collection}-a", f"{collection}-b"}
    assert next(entry for entry in listed["data"] if entry["name"] == f"{collection}-a") == read(
        http, f"{collection}-a"
    )


def test_the_profile_says_how_many_results(http: httpx.Client, collection: str) -> None:
    """`top_k` of the collection where the search does not say; the search's own where it does."""
    put(http, collection, 201, top_k=2)
    ingest(http, [{"text": unique("a note")} for _ in range(4)], collection=collection)

    assert len(search(http, "a note", collection=collection)) == 2
    assert len(search(http, "a note", collection=collection, top_k=3)) == 3
    put(http, collection, top_k=4)
    assert len(search(http, "a note", collection=collection)) == 4


@pytest.mark.requires("rerank_search")
def test_the_profile_names_the_reranker(http: httpx.Client, collection: str) -> None:
    """Its searches are reranked unless they decline."""
    reranker = ok(http.post("/v1/rerank", json={"query": "who judges?", "documents": ["I do"]}))["model"]
    put(http, collection, 201, reranker_model=reranker)
    ingest(http, [{"text": unique("a note")} for _ in range(3)], collection=collection)
    body = {"query": "a note", "collection": collection}

    assert ok(http.post("/v1/search", json=body))["reranker_model"] == reranker
    assert ok(http.post("/v1/search", json=body | {"rerank": False}))["reranker_model"] is None
    put(http, collection)
    assert ok(http.post("/v1/search", json=body))["reranker_model"] is None


def test_a_profile_changes_without_touching_the_documents(http: httpx.Client, collection: str, model: Json) -> None:
    """Everything but the models of the vectors may change while documents are in; naming these again is no change."""
    text = unique("stays")
    ingest(http, [{"id": "a", "text": text}], collection=collection)

    changed = put(http, collection, embedding_model=model["id"], sparse_model="bm25", top_k=9)

    assert (changed["top_k"], changed["document_count"]) == (9, 1)
    assert ids(search(http, text, collection=collection)) == ["a"]


@pytest.mark.requires("second_model")
def test_documents_keep_their_model(http: httpx.Client, collection: str, model: Json) -> None:
    """Another embedding model is a conflict while documents are in, and none once they are gone."""
    dense = [entry for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "dense"]
    other = next(entry for entry in dense if entry["id"] != model["id"])
    ingest(http, [{"id": "a", "text": "in the way"}], collection=collection)
    path, body = f"/v1/collections/{collection}", {"embedding_model": other["id"]}

    error = assert_error(http.put(path, json=body), 409, "collection_not_empty")

    assert error["param"] == "embedding_model"
    assert model["id"] in error["message"]
    assert read(http, collection)["embedding_model"] == model["id"]
    assert ids(search(http, "in the way", collection=collection)) == ["a"]
    ok(http.delete("/v1/documents/a", params={"collection": collection}))
    changed = put(http, collection, **body)
    assert (changed["embedding_model"], changed["dimensions"]) == (other["id"], other["dimensions"])


@pytest.mark.requires("second_model")
def test_collections_of_two_models_side_by_side(http: httpx.Client, collection: str, model: Json) -> None:
    """Each is searched with its own model, whatever the dimensions."""
    dense = [entry["id"] for entry in ok(http.get("/v1/models"))["data"] if entry["kind"] == "dense"]
    for number, name in enumerate(dense[:2]):
        put(http, f"{collection}-{number}", 201, embedding_model=name)
        ingest(http, [{"id": name, "text": f"embedded with {name}"}], collection=f"{collection}-{number}")

    for number, name in enumerate(dense[:2]):
        body = {"query": f"embedded with {name}", "collection": f"{collection}-{number}"}
        answer = ok(http.post("/v1/search", json=body))
        assert answer["model"] == name
        assert [result["id"] for result in answer["results"]] == [name]
        assert answer["results"][0]["score"] == pytest.approx(1.0, abs=1e-3)


def test_a_forgotten_collection_is_gone(http: httpx.Client, collection: str) -> None:
    """Reading, searching and the list do not know it any more, and its neighbours stay."""
    other = f"{collection}-b"
    for name in (collection, other):
        ingest(http, [{"id": "same", "text": f"in {name}"}], collection=name)

    answer = ok(http.delete(f"/v1/collections/{collection}"))

    assert (answer["name"], answer["deleted"]) == (collection, True)
    assert_error(http.get(f"/v1/collections/{collection}"), 404, "unknown_collection")
    assert_error(http.delete(f"/v1/collections/{collection}"), 404, "unknown_collection")
    searched = http.post("/v1/search", json={"query": "in", "collection": collection})
    assert assert_error(searched, 404, "unknown_collection")["param"] == "collection"
    assert collection not in [entry["name"] for entry in ok(http.get("/v1/collections"))["data"]]
    assert ids(search(http, "in", collection=other)) == ["same"]


@pytest.mark.requires("health")
def test_forgotten_documents_are_not_counted(http: httpx.Client, collection: str) -> None:
    """`/healthz` counts what is left."""
    before = ok(http.get("/healthz"))["document_count"]
    ingest(http, [{"text": unique()} for _ in range(3)], collection=collection)
    assert ok(http.get("/healthz"))["document_count"] == before + 3

    ok(http.delete(f"/v1/collections/{collection}"))

    assert ok(http.get("/healthz"))["document_count"] == before


def test_a_collection_begins_anew(http: httpx.Client, collection: str) -> None:
    """After it was forgotten, the same name is a new collection: nothing of the old one, its profile included."""
    put(http, collection, 201, top_k=1)
    ingest(http, [{"id": "old", "text": "the old one"}], collection=collection)
    ok(http.delete(f"/v1/collections/{collection}"))

    ingest(http, [{"id": "new", "text": "the new one"}], collection=collection)

    assert ids(search(http, "the old one", collection=collection)) == ["new"]
    assert read(http, collection)["top_k"] == 5


@pytest.mark.requires("cancel")
def test_forgetting_a_collection_cancels_its_jobs(http: httpx.Client, collection: str) -> None:
    """What was still to come does not bring the collection back, and other collections' jobs run."""
    put(http, collection, 201)
    jobs = [submit(http, [{"text": f"{n} of {part}"} for n in range(4_000)], collection=collection) for part in "ab"]
    other = submit(http, [{"text": unique()}], collection=f"{collection}-b")

    ok(http.delete(f"/v1/collections/{collection}"))

    for job in jobs:
        assert ok(http.get(f"/v1/jobs/{job['job_id']}"))["status"] == "cancelled"
    assert finished(http, other["job_id"])["status"] == "completed"
    assert_error(http.get(f"/v1/collections/{collection}"), 404, "unknown_collection")


def test_an_unknown_collection_is_named(http: httpx.Client, collection: str) -> None:
    """The message repeats the name that was asked for, and says how to make one."""
    for response in (http.get(f"/v1/collections/{collection}"), http.delete(f"/v1/collections/{collection}")):
        assert collection in assert_error(response, 404, "unknown_collection")["message"]
