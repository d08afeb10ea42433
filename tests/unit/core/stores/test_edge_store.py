"""The embedded store on the real engine: profiles, life cycle and files of its collections."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import numpy as np
import orjson
import pytest
import qdrant_edge as qdrant

from gateways.core.errors import Conflict, NotFound
from gateways.core.profiles import Chunking, Profile, StoreMismatch
from gateways.core.scoring import bm25
from gateways.core.stores.base import CollectionGone, Vectors
from tests.unit.core.stores.edge_stores import DEFAULT, MODELS, fill, open_store, passages, words_of


def test_a_collection_of_an_earlier_version_is_served(tmp_path: Path) -> None:
    """A collection without vectors in 4 bits is opened, searched and written."""
    (tmp_path / "books").mkdir()
    config = qdrant.EdgeConfig(
        vectors={"dense": qdrant.EdgeVectorParams(4, qdrant.Distance.Cosine)},
        sparse_vectors={"sparse": qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        wal_enabled=False,
    )
    qdrant.EdgeShard.create(str(tmp_path / "books" / "shard"), config).close()
    (tmp_path / "books" / "collection.json").write_bytes(orjson.dumps(DEFAULT))

    for words in (["one"], ["two"]):
        store = open_store(tmp_path)
        asyncio.run(fill(store, "books", words[0], words))
        asyncio.run(store.close())

    store = open_store(tmp_path)
    hits = asyncio.run(store.collection("books").search(np.full(4, 0.5, np.float32), None, 10, None))
    assert {hit.passage.text for hit in hits} == {"one", "two"}
    asyncio.run(store.close())


def test_a_profile_survives_a_restart(tmp_path: Path) -> None:
    """The last profile is read back, and the documents with it."""
    store = open_store(tmp_path)
    profile = dataclasses.replace(DEFAULT, reranker_model="judge", top_k=7, chunk=Chunking(64, 8))
    assert asyncio.run(store.put("books", DEFAULT)) is True
    asyncio.run(fill(store, "books", "a", ["one", "two"]))
    assert asyncio.run(store.put("books", profile)) is False
    asyncio.run(store.close())

    reopened = open_store(tmp_path)

    assert reopened.collection("books").profile == profile
    assert [collection.name for collection in reopened.collections()] == ["books", "default"]
    assert words_of(reopened, "books", "a") == ["one", "two"]
    assert reopened.count() == 1


@pytest.mark.parametrize(
    ("other", "param"),
    [(Profile("wide", 8, "bm25"), "embedding_model"), (Profile("tiny", 4, "splade"), "sparse_model")],
)
def test_documents_keep_their_models(tmp_path: Path, other: Profile, param: str) -> None:
    """A profile of other models is a Conflict while there are documents; an empty collection accepts it."""
    store = open_store(tmp_path)
    asyncio.run(fill(store, "books", "a", ["one"]))

    with pytest.raises(Conflict, match="books") as refused:
        asyncio.run(store.put("books", other))

    assert refused.value.param == param
    assert words_of(store, "books", "a") == ["one"]
    assert asyncio.run(store.collection("books").delete("a")) is True
    assert asyncio.run(store.put("books", other)) is False
    assert store.collection("books").profile == other


def test_a_document_is_replaced_whole(tmp_path: Path) -> None:
    """A shorter version leaves none of the older passages, and only that document is touched."""
    store = open_store(tmp_path)
    for document_id in ("a", "a#0", "b"):
        asyncio.run(fill(store, "books", document_id, ["one", "two", "three"]))

    asyncio.run(fill(store, "books", "a", ["four"]))

    assert words_of(store, "books", "a") == ["four"]
    assert words_of(store, "books", "a#0") == words_of(store, "books", "b") == ["one", "two", "three"]
    assert store.count() == 3


def test_a_deleted_collection_raises_collection_gone(tmp_path: Path) -> None:
    """Every call on an object of it raises, and no file of it is left."""
    store = open_store(tmp_path)
    asyncio.run(fill(store, "books", "a", ["one"]))
    deleted = store.collection("books")

    assert asyncio.run(store.delete("books")) is True

    assert asyncio.run(store.delete("books")) is False
    with pytest.raises(NotFound):
        store.collection("books")
    vectors = [Vectors(np.ones(4, np.float32), bm25.embed(["x"], query=False).rows[0])]
    for call in (
        deleted.replace(passages("a", ["x"]), vectors),
        deleted.search(np.ones(4, np.float32), None, 1, None),
        deleted.document("a"),
        deleted.stored_vectors(["x"]),
        deleted.flush(),
    ):
        with pytest.raises(CollectionGone):
            asyncio.run(call)
    assert [path.name for path in tmp_path.iterdir()] == ["default"]


def test_the_default_collection_is_always_there(tmp_path: Path) -> None:
    """Its deletion empties it."""
    store = open_store(tmp_path)
    asyncio.run(fill(store, "default", "a", ["one"]))

    assert asyncio.run(store.delete("default")) is True

    assert words_of(store, "default", "a") == []
    assert store.count() == 0


def test_interrupted_deletions_and_creations_are_cleared(tmp_path: Path) -> None:
    """A folder that was being deleted, and a folder without a profile, are no collections."""
    asyncio.run(open_store(tmp_path).close())
    (tmp_path / ".deleted-1" / "shard").mkdir(parents=True)
    (tmp_path / "unfinished" / "shard").mkdir(parents=True)

    store = open_store(tmp_path)

    assert [collection.name for collection in store.collections()] == ["default"]
    assert not (tmp_path / ".deleted-1").exists()
    asyncio.run(fill(store, "unfinished", "a", ["one"]))
    assert words_of(store, "unfinished", "a") == ["one"]


def test_a_store_of_models_that_are_not_served_does_not_open(tmp_path: Path) -> None:
    """The error names the collection and the model that it needs."""
    store = open_store(tmp_path)
    asyncio.run(store.put("books", Profile("wide", 8, "splade")))
    asyncio.run(store.close())

    with pytest.raises(StoreMismatch, match=r"books.*wide \(8 dimensions\).*tiny"):
        open_store(tmp_path, (MODELS[0], *MODELS[2:]))
    with pytest.raises(StoreMismatch, match=r"books.*splade.*bm25"):
        open_store(tmp_path, (*MODELS[:2], bm25.INFO))
    with pytest.raises(StoreMismatch, match=r"wide \(8 dimensions\)"):
        open_store(tmp_path, (MODELS[0], dataclasses.replace(MODELS[1], dimensions=16), *MODELS[2:]))


def test_a_folder_of_an_earlier_version_is_not_open_store(tmp_path: Path) -> None:
    """Its collections have no sparse vectors. The message says what to do."""
    asyncio.run(open_store(tmp_path).close())
    (tmp_path / "default" / "collection.json").write_bytes(orjson.dumps({"model": "tiny", "dimensions": 4}))

    with pytest.raises(StoreMismatch, match=r"default.*earlier version.*ingest again"):
        open_store(tmp_path)


def test_stored_vectors_are_read_back(tmp_path: Path) -> None:
    """Vectors equal those that were written, for more texts than one call of the engine reads."""
    store = open_store(tmp_path)
    words = [f"word{n}" for n in range(600)]
    asyncio.run(fill(store, "books", "a", words))

    stored = asyncio.run(store.collection("books").stored_vectors([*words, "never seen"]))

    assert set(stored) == set(words)
    [row] = bm25.embed(["word7"], query=False).rows
    assert np.array_equal(stored["word7"].sparse.indices, row.indices)
    assert np.allclose(stored["word7"].sparse.values, row.values)
    assert np.allclose(stored["word7"].dense, np.full(4, 0.5), atol=1e-6)


def test_a_name_that_the_file_system_takes_for_another_is_refused(tmp_path: Path) -> None:
    """A file system without capitals would give `Docs` the folder of `docs`, and creating it would delete that."""
    store = open_store(tmp_path)
    asyncio.run(fill(store, "docs", "a", ["one"]))
    # As such a file system shows it.
    (tmp_path / "Docs").symlink_to(tmp_path / "docs")

    for create in (store.ensure, store.put):
        with pytest.raises(Conflict, match="capitals"):
            asyncio.run(create("Docs", DEFAULT))

    assert words_of(store, "docs", "a") == ["one"]
    assert [collection.name for collection in store.collections()] == ["default", "docs"]
    asyncio.run(store.close())
