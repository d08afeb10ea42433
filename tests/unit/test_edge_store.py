"""Collections in the real engine: their profiles, their lives, and what stays on disk."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import numpy as np
import orjson
import pytest
import qdrant_edge as qdrant

from gateways.core import bm25
from gateways.core.backend import ModelInfo
from gateways.core.errors import Conflict, NotFound
from gateways.core.profiles import Chunking, Profile, StoreMismatch
from gateways.core.stores.base import CollectionGone, Hit, Passage, Vectors
from gateways.core.stores.edge import EdgeStore
from gateways.core.stores.filters import parse
from gateways.core.vectors import normalize

MODELS = (
    ModelInfo("tiny", "dense", dimensions=4, max_input_tokens=8),
    ModelInfo("wide", "dense", dimensions=8, max_input_tokens=8),
    ModelInfo("splade", "sparse", dimensions=30_522, max_input_tokens=8),
    bm25.INFO,
)
DEFAULT = Profile("tiny", 4, "bm25")


def opened(folder: Path, models: tuple[ModelInfo, ...] = MODELS) -> EdgeStore:
    """Return the store of a folder."""
    return EdgeStore(folder, DEFAULT, models, threads=1)


def passages(document_id: str, words: list[str]) -> list[Passage]:
    """Return a document's passages, one a word."""
    return [Passage(f"{document_id}#{n}", document_id, word, n, n + len(word), {}, n) for n, word in enumerate(words)]


async def fill(store: EdgeStore, name: str, document_id: str, words: list[str]) -> None:
    """Write a document of as many passages as words, durably."""
    collection = await store.ensure(name, DEFAULT)
    dense = np.full(collection.profile.dimensions, 0.5, np.float32)
    rows = bm25.embed(words, query=False).rows
    await collection.replace(passages(document_id, words), [Vectors(dense, row) for row in rows])
    await collection.flush()


def words_of(store: EdgeStore, name: str, document_id: str) -> list[str]:
    """Return the texts of a document's passages."""
    return [passage.text for passage in asyncio.run(store.collection(name).document(document_id))]


def test_tokens_are_compared_in_the_store(tmp_path: Path) -> None:
    """Scores of chosen passages by each vector that is given, in the order asked for; also after a restart."""
    late = dataclasses.replace(DEFAULT, late_interaction=True)
    models = (*MODELS, ModelInfo("judge", "rerank", 0, 8, scores="cosines", of="tiny"))
    store = opened(tmp_path, models)
    asyncio.run(store.put("books", late))
    words = ["pump", "boiler", "filter"]
    axes = np.eye(4, dtype=np.float32)
    tokens = [axes[rows].astype(np.float16) for rows in ([0, 1], [1], [2, 3])]

    async def written() -> None:
        collection = store.collection("books")
        rows = bm25.embed(words, query=False).rows
        vectors = [Vectors(axis, row, its) for axis, row, its in zip(axes[:3], rows, tokens, strict=True)]
        await collection.replace(passages("a", words), vectors)
        await collection.flush()

    asyncio.run(written())
    asked, query = axes[[0, 3]].astype(np.float16), bm25.embed(["boiler"], query=True).rows[0]
    for opened_again in (False, True):
        if opened_again:
            asyncio.run(store.close())
            store = opened(tmp_path, models)
        collection = store.collection("books")
        there = asyncio.run(collection.document("a"))[::-1]

        scores = asyncio.run(collection.scores(there, axes[1], query, asked))

        assert scores["dense"] == pytest.approx([0, 1, 0], abs=1e-3)
        # 4 bits say little of so few dimensions.
        assert scores["late"] == pytest.approx([0.5, 0, 0.5], abs=0.1)
        assert scores["sparse"][1] > 0
        assert scores["sparse"][[0, 2]].tolist() == [0, 0]
        assert set(asyncio.run(collection.scores(there, axes[1], None, None))) == {"dense"}
        known = asyncio.run(collection.known(["pump"]))["pump"].late
        assert known is not None
        assert known == pytest.approx(tokens[0], abs=0.1)
    asyncio.run(store.close())


def test_many_passages_are_found_in_four_bits(tmp_path: Path) -> None:
    """In a collection long enough for it, the best and their scores are those that a full comparison gives."""
    seed, dimensions, count = 20, 64, 6_000
    wide = Profile("broad", dimensions, "bm25")
    store = opened(tmp_path, (*MODELS, ModelInfo("broad", "dense", dimensions=dimensions, max_input_tokens=8)))
    asyncio.run(store.put("books", wide))
    random = np.random.default_rng(seed)
    vectors = normalize(random.standard_normal((count, dimensions), dtype=np.float32))
    asked = normalize(random.standard_normal((20, dimensions), dtype=np.float32))
    nothing = bm25.embed([""], query=False).rows[0]

    async def found() -> list[list[Hit]]:
        collection = store.collection("books")
        for first in range(0, count, 500):
            some = range(first, first + 500)
            await collection.replace(
                [Passage(str(at), str(at), "", 0, 0, {"even": at % 2 == 0}) for at in some],
                [Vectors(vectors[at], nothing) for at in some],
            )
        return [
            await collection.search(query, None, 10, parse({"even": True}) if at % 2 else None)
            for at, query in enumerate(asked)
        ]

    for at, hits in enumerate(asyncio.run(found())):
        cosines = vectors @ asked[at]
        if at % 2:
            cosines[1::2] = -1
        best = np.argsort(-cosines)[:10]
        assert [int(hit.passage.id) for hit in hits] == best.tolist()
        assert [hit.score for hit in hits] == pytest.approx(cosines[best].tolist(), abs=1e-5)
    asyncio.run(store.close())


def test_an_earlier_versions_collection_is_served(tmp_path: Path) -> None:
    """One whose vectors are not there in 4 bits is opened, searched and written as it is."""
    (tmp_path / "books").mkdir()
    config = qdrant.EdgeConfig(
        vectors={"dense": qdrant.EdgeVectorParams(4, qdrant.Distance.Cosine)},
        sparse_vectors={"sparse": qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        wal_enabled=False,
    )
    qdrant.EdgeShard.create(str(tmp_path / "books" / "shard"), config).close()
    (tmp_path / "books" / "collection.json").write_bytes(orjson.dumps(DEFAULT))

    for words in (["one"], ["two"]):
        store = opened(tmp_path)
        asyncio.run(fill(store, "books", words[0], words))
        asyncio.run(store.close())

    store = opened(tmp_path)
    hits = asyncio.run(store.collection("books").search(np.full(4, 0.5, np.float32), None, 10, None))
    assert {hit.passage.text for hit in hits} == {"one", "two"}
    asyncio.run(store.close())


def test_a_profile_survives_a_restart(tmp_path: Path) -> None:
    """Made, then changed: the last one is read back, and the documents with it."""
    store = opened(tmp_path)
    profile = dataclasses.replace(DEFAULT, reranker_model="judge", top_k=7, chunk=Chunking(64, 8))
    assert asyncio.run(store.put("books", DEFAULT)) is True
    asyncio.run(fill(store, "books", "a", ["one", "two"]))
    assert asyncio.run(store.put("books", profile)) is False
    asyncio.run(store.close())

    again = opened(tmp_path)

    assert again.collection("books").profile == profile
    assert [collection.name for collection in again.collections()] == ["books", "default"]
    assert words_of(again, "books", "a") == ["one", "two"]
    assert again.count() == 1


@pytest.mark.parametrize(
    ("other", "param"),
    [(Profile("wide", 8, "bm25"), "embedding_model"), (Profile("tiny", 4, "splade"), "sparse_model")],
)
def test_documents_keep_their_models(tmp_path: Path, other: Profile, param: str) -> None:
    """Other models are a Conflict while documents are in; an empty collection takes them."""
    store = opened(tmp_path)
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
    store = opened(tmp_path)
    for document_id in ("a", "a#0", "b"):
        asyncio.run(fill(store, "books", document_id, ["one", "two", "three"]))

    asyncio.run(fill(store, "books", "a", ["four"]))

    assert words_of(store, "books", "a") == ["four"]
    assert words_of(store, "books", "a#0") == words_of(store, "books", "b") == ["one", "two", "three"]
    assert store.count() == 3


def test_a_forgotten_collection_is_gone_for_those_who_hold_it(tmp_path: Path) -> None:
    """Whoever still writes to it, or asks it, is told; on disk nothing of it is left."""
    store = opened(tmp_path)
    asyncio.run(fill(store, "books", "a", ["one"]))
    held = store.collection("books")

    assert asyncio.run(store.delete("books")) is True

    assert asyncio.run(store.delete("books")) is False
    with pytest.raises(NotFound):
        store.collection("books")
    vectors = [Vectors(np.ones(4, np.float32), bm25.embed(["x"], query=False).rows[0])]
    for call in (
        held.replace(passages("a", ["x"]), vectors),
        held.search(np.ones(4, np.float32), None, 1, None),
        held.document("a"),
        held.known(["x"]),
        held.flush(),
    ):
        with pytest.raises(CollectionGone):
            asyncio.run(call)
    assert [path.name for path in tmp_path.iterdir()] == ["default"]


def test_the_default_collection_is_always_there(tmp_path: Path) -> None:
    """Forgetting it empties it."""
    store = opened(tmp_path)
    asyncio.run(fill(store, "default", "a", ["one"]))

    assert asyncio.run(store.delete("default")) is True

    assert words_of(store, "default", "a") == []
    assert store.count() == 0


def test_what_a_deletion_or_a_creation_left_half_done_is_cleared(tmp_path: Path) -> None:
    """A folder that was being removed, and one that never got its profile, are no collections."""
    asyncio.run(opened(tmp_path).close())
    (tmp_path / ".deleted-1" / "shard").mkdir(parents=True)
    (tmp_path / "unfinished" / "shard").mkdir(parents=True)

    store = opened(tmp_path)

    assert [collection.name for collection in store.collections()] == ["default"]
    assert not (tmp_path / ".deleted-1").exists()
    asyncio.run(fill(store, "unfinished", "a", ["one"]))
    assert words_of(store, "unfinished", "a") == ["one"]


def test_vectors_of_another_model_are_never_mixed_in(tmp_path: Path) -> None:
    """A folder made with models that are not served any more does not open, and says which it needs."""
    store = opened(tmp_path)
    asyncio.run(store.put("books", Profile("wide", 8, "splade")))
    asyncio.run(store.close())

    with pytest.raises(StoreMismatch, match=r"books.*wide \(8 dimensions\).*tiny"):
        opened(tmp_path, (MODELS[0], *MODELS[2:]))
    with pytest.raises(StoreMismatch, match=r"books.*splade.*bm25"):
        opened(tmp_path, (*MODELS[:2], bm25.INFO))
    with pytest.raises(StoreMismatch, match=r"wide \(8 dimensions\)"):
        opened(tmp_path, (MODELS[0], dataclasses.replace(MODELS[1], dimensions=16), *MODELS[2:]))


def test_a_folder_of_an_earlier_version_is_not_opened(tmp_path: Path) -> None:
    """Its collections have no words to search by; the message says what to do."""
    asyncio.run(opened(tmp_path).close())
    (tmp_path / "default" / "collection.json").write_bytes(orjson.dumps({"model": "tiny", "dimensions": 4}))

    with pytest.raises(StoreMismatch, match=r"default.*earlier version.*ingest again"):
        opened(tmp_path)


def test_known_passages_come_with_both_vectors(tmp_path: Path) -> None:
    """What was written is read back to the bit, for more texts than one call of the engine reads."""
    store = opened(tmp_path)
    words = [f"word{n}" for n in range(600)]
    asyncio.run(fill(store, "books", "a", words))

    known = asyncio.run(store.collection("books").known([*words, "never seen"]))

    assert set(known) == set(words)
    [row] = bm25.embed(["word7"], query=False).rows
    assert np.array_equal(known["word7"].sparse.indices, row.indices)
    assert np.allclose(known["word7"].sparse.values, row.values)
    assert np.allclose(known["word7"].dense, np.full(4, 0.5), atol=1e-6)
