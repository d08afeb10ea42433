"""What every store does, held to the same tests: the embedded engine, and PostgreSQL with pgvector."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import numpy as np
import pytest

from gateways.core.backend import F32
from gateways.core.errors import Conflict, NotFound
from gateways.core.profiles import Chunking, StoreMismatch
from gateways.core.scoring import bm25
from gateways.core.scoring.vectors import normalize
from gateways.core.stores.base import CollectionGone, Hit, Passage, Vectors
from gateways.core.stores.filters import parse
from tests.system.stores.conftest import DEFAULT, MODELS, Opened

NEW_COLLECTIONS = 20
TEXTS = ["the harbour at dawn", "bread and butter", "a harbour of bread", "dawn over the sea"]
METADATA: list[dict[str, Any]] = [
    {"lang": "en", "year": 1999, "tags": ["sea", "port"], "draft": False, "a.b": 1},
    {"lang": "de", "year": 2005.5, "nested": {"deep": "x"}, "draft": True, "nothing": None},
    {"lang": ["en", "fr"], "year": [1990, 2010], "big": 2**53 + 1},
    {"year": "2001", "quote'": "it's; DROP TABLE", "nul": "a\0b"},
]


def unit(*numbers: float) -> F32:
    """Return a unit vector in this direction."""
    vector: F32 = normalize(np.array([numbers], np.float32))[0]
    return vector


DENSE = [unit(1, 0, 0, 0), unit(0, 1, 0, 0), unit(1, 1, 0, 0), unit(0, 0, 1, 0.1)]


def write(opened: Opened, name: str = "books", late: bool = False) -> None:
    """Write four documents of one passage each."""

    async def scenario() -> None:
        profile = dataclasses.replace(DEFAULT, late_interaction=late)
        collection = await opened.store.ensure(name, profile)
        passages = [Passage(f"d{n}", f"d{n}", text, 0, len(text), METADATA[n]) for n, text in enumerate(TEXTS)]
        rows = bm25.embed(TEXTS, query=False).rows
        tokens = [np.stack([vector, np.roll(vector, 1)]).astype(np.float16) if late else None for vector in DENSE]
        await collection.replace(passages, [Vectors(*its) for its in zip(DENSE, rows, tokens, strict=True)])
        await collection.flush()
        await opened.store.refresh()

    opened.runner.run(scenario())


def found(opened: Opened, where: dict[str, Any] | None = None, **asked: Any) -> list[Hit]:
    """Search the books."""
    dense, sparse = asked.pop("dense", unit(1, 0.1, 0, 0)), asked.pop("sparse", None)
    condition = parse(where) if where else None
    search = opened.store.collection("books").search(dense, sparse, asked.pop("k", 10), condition, **asked)
    return opened.runner.run(search)


def ids(hits: list[Hit]) -> list[str]:
    """Return what was found."""
    return [hit.passage.id for hit in hits]


def test_nearest_come_first_with_their_cosines(opened: Opened) -> None:
    """With all that was stored of them; also when it is opened again."""
    write(opened)
    for _ in range(2):
        hits = found(opened, k=3)
        assert ids(hits) == ["d0", "d2", "d1"]
        assert hits[0].score == pytest.approx(float(DENSE[0] @ unit(1, 0.1, 0, 0)), abs=1e-3)
        assert hits[0].passage == Passage("d0", "d0", TEXTS[0], 0, len(TEXTS[0]), METADATA[0])
        assert ids(found(opened, min_score=0.6)) == ["d0", "d2"]
        opened.runner.run(opened.store.close())
        opened.again()


def test_words_weigh_by_how_rare_they_are(opened: Opened) -> None:
    """BM25 with the inverse frequency that the other store computes: ln(1 + (N - n + .5) / (n + .5))."""
    write(opened)
    query = bm25.embed(["harbour butter"], query=True).rows[0]
    hits = found(opened, dense=None, sparse=query)
    rows = bm25.embed(TEXTS, query=False).rows
    idf = {1: np.log(1 + (4 - 1 + 0.5) / 1.5), 2: np.log(1 + (4 - 2 + 0.5) / 2.5)}
    held = {int(term): sum(term in row.indices for row in rows) for term in query.indices}
    wanted = {
        f"d{n}": sum(
            float(weight) * idf[held[int(term)]]
            for term, weight in zip(row.indices, row.values, strict=True)
            if int(term) in held
        )
        for n, row in enumerate(rows)
    }
    wanted = {key: score for key, score in wanted.items() if score}
    assert {hit.passage.id: hit.score for hit in hits} == pytest.approx(wanted, rel=1e-3)
    assert ids(hits) == sorted(wanted, key=lambda key: -wanted[key])


def test_both_rankings_are_fused(opened: Opened) -> None:
    """By reciprocal ranks, each ranking filtered first."""
    write(opened)
    query = bm25.embed(["bread butter"], query=True).rows[0]
    hits = found(opened, dense=unit(0, 1, 0, 0), sparse=query, k=2)
    assert ids(hits) == ["d1", "d2"]
    assert ids(found(opened, {"lang": "fr"}, dense=unit(0, 1, 0, 0), sparse=query)) == ["d2"]


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"lang": "en"}, {"d0", "d2"}),
        ({"lang": {"in": ["de", "fr"]}}, {"d1", "d2"}),
        ({"year": {"gte": 1999, "lt": 2006}}, {"d0", "d1"}),  # of a list, one number must be within both bounds
        ({"year": {"gt": 2005.5}}, {"d2"}),
        ({"year": 1999.0}, {"d0"}),
        ({"draft": True}, {"d1"}),
        ({"draft": False}, {"d0"}),
        ({"not": {"lang": "en"}}, {"d1", "d3"}),
        ({"or": [{"tags": "port"}, {"nested.deep": "x"}]}, {"d0", "d1"}),
        ({"a.b": 1}, {"d0"}),
        ({"nothing": None}, {"d1"}),
        ({"big": 2**53 + 1}, {"d2"}),
        ({"quote'": "it's; DROP TABLE"}, {"d3"}),
        ({"absent": "x"}, set()),
        ({"lang": "en", "year": {"lte": 1990}}, {"d2"}),
    ],
)
def test_filters(opened: Opened, where: dict[str, Any], wanted: set[str]) -> None:
    """Equality, ranges, lists, nesting and negation, with names and values that no statement may swallow."""
    write(opened)
    assert set(ids(found(opened, where))) == wanted


def test_scores_of_chosen_passages(opened: Opened) -> None:
    """By each vector that is given, in the order asked for; what has nothing in common is 0."""
    write(opened, late=True)
    chosen = [hit.passage for hit in found(opened, k=4)][::-1]
    query = bm25.embed(["butter"], query=True).rows[0]
    late = np.stack([DENSE[0], DENSE[1]]).astype(np.float16)
    scores = opened.runner.run(opened.store.collection("books").scores(chosen, DENSE[0], query, late))
    numbers = [int(one.id[1:]) for one in chosen]
    assert scores["dense"] == pytest.approx([float(DENSE[n] @ DENSE[0]) for n in numbers], abs=1e-3)
    assert [score > 0 for score in scores["sparse"]] == [n == 1 for n in numbers]
    tokens = [np.stack([DENSE[n], np.roll(DENSE[n], 1)]) for n in numbers]
    wanted = [float((late.astype(np.float32) @ its.T).max(axis=1).mean()) for its in tokens]
    assert scores["late"] == pytest.approx(wanted, abs=0.15 if opened.approximate else 1e-3)


def test_documents_are_replaced_and_deleted_whole(opened: Opened) -> None:
    """A shorter successor leaves nothing of the longer one; the count is of documents."""

    async def scenario() -> None:
        collection = await opened.store.ensure("books", DEFAULT)
        for words in (["one", "two", "three"], ["four"]):
            passages = [Passage(f"a#{n}", "a", word, n, n + 1, {}, n) for n, word in enumerate(words)]
            vectors = [Vectors(DENSE[0], row) for row in bm25.embed(words, query=False).rows]
            await collection.replace(passages, vectors)
            await collection.flush()
            assert [its.text for its in await collection.document("a")] == words
            assert opened.store.count() == 1
        known = await collection.stored_vectors(["four", "never seen"])
        assert list(known) == ["four"]
        assert known["four"].dense == pytest.approx(DENSE[0], abs=1e-3)
        assert known["four"].sparse.indices.tolist() == bm25.embed(["four"], query=False).rows[0].indices.tolist()
        assert await collection.delete("a") is True
        assert await collection.delete("a") is False
        assert (await collection.document("a"), opened.store.count()) == ([], 0)

    opened.runner.run(scenario())


def test_collections_live_and_change(opened: Opened) -> None:
    """A profile is changed while its vectors serve, refused while its documents are in the way, and forgotten."""

    async def scenario() -> None:
        store = opened.store
        wide = dataclasses.replace(DEFAULT, embedding_model="wide", dimensions=8)
        cut = dataclasses.replace(DEFAULT, top_k=9, chunk=Chunking(64, 8))
        assert await store.put("books", wide) is True
        assert await store.put("books", DEFAULT) is False
        assert await store.put("books", cut) is False
        assert store.collection("books").profile == cut
        assert [its.name for its in store.collections()] == ["books", "default"]
        collection = store.collection("books")
        row = bm25.embed(["one"], query=False).rows[0]
        await collection.replace([Passage("a", "a", "one", 0, 3)], [Vectors(DENSE[0], row)])
        await collection.flush()
        with pytest.raises(Conflict, match="DELETE it first"):
            await store.put("books", wide)
        assert await store.delete("books") is True
        assert await store.delete("books") is False
        with pytest.raises(NotFound, match="there are: default"):
            store.collection("books")
        with pytest.raises(CollectionGone):
            await collection.search(DENSE[0], None, 1, None)
        with pytest.raises(CollectionGone):
            await collection.replace([Passage("a", "a", "one", 0, 3)], [Vectors(DENSE[0], row)])
        assert await store.delete("default") is True
        assert store.collection("default").documents == 0

    opened.runner.run(scenario())


def test_a_store_of_other_models_does_not_open(opened: Opened) -> None:
    """Its vectors would be compared with what they are not."""
    write(opened)
    opened.runner.run(opened.store.close())
    with pytest.raises(StoreMismatch, match="tiny"):
        opened.again(tuple(model for model in MODELS if model.id != "tiny"))
    opened.again()


def test_a_new_collection_is_returned_while_others_read_the_list(opened: Opened) -> None:
    """A search that reads the list before the commit does not see the collection, and hides it from nobody."""

    async def scenario() -> None:
        stop = asyncio.Event()

        async def read_list() -> None:
            while not stop.is_set():
                await opened.store.refresh()
                await asyncio.sleep(0)

        readers = [asyncio.create_task(read_list()) for _ in range(4)]
        try:
            for number in range(NEW_COLLECTIONS):
                collection = await opened.store.ensure(f"new-{number}", DEFAULT)
                assert collection.name == f"new-{number}"
        finally:
            stop.set()
            await asyncio.gather(*readers)

    opened.runner.run(scenario())
