"""Searches of the embedded store on the real engine."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.core.backend import F32, ModelInfo
from gateways.core.profiles import Profile
from gateways.core.scoring import bm25
from gateways.core.scoring.vectors import normalize
from gateways.core.stores.base import CollectionGone, Passage, Vectors
from gateways.core.stores.edge import search
from gateways.core.stores.edge.search import EdgeSearch
from gateways.core.stores.edge.store import EdgeStore
from gateways.core.stores.filters import parse
from tests.unit.core.stores.edge_stores import DEFAULT, MODELS, open_store, passages


def test_tokens_are_compared_in_the_store(tmp_path: Path) -> None:
    """Scores of chosen passages by each vector that is given, in the order asked for; also after a restart."""
    late = dataclasses.replace(DEFAULT, late_interaction=True)
    models = (*MODELS, ModelInfo("judge", "rerank", 0, 8, scores="cosines", of="tiny"))
    store = open_store(tmp_path, models)
    asyncio.run(store.put("books", late))
    words = ["pump", "boiler", "filter"]
    axes = np.eye(4, dtype=np.float32)
    tokens = [axes[rows].astype(np.float16) for rows in ([0, 1], [1], [2, 3])]

    rows = bm25.embed(words, query=False).rows
    vectors = [Vectors(*row) for row in zip(axes[:3], rows, tokens, strict=True)]
    asyncio.run(store.collection("books").replace(passages("a", words), vectors))
    asyncio.run(store.collection("books").flush())
    late_query, query = axes[[0, 3]].astype(np.float16), bm25.embed(["boiler"], query=True).rows[0]
    for reopen in (False, True):
        if reopen:
            asyncio.run(store.close())
            store = open_store(tmp_path, models)
        collection = store.collection("books")
        reversed_passages = asyncio.run(collection.document("a"))[::-1]

        scores = asyncio.run(collection.scores(reversed_passages, axes[1], query, late_query))

        assert scores["dense"] == pytest.approx([0, 1, 0], abs=1e-3)
        # 4 bits are coarse for four dimensions.
        assert scores["late"] == pytest.approx([0.5, 0, 0.5], abs=0.1)
        assert scores["sparse"][1] > 0
        assert scores["sparse"][[0, 2]].tolist() == [0, 0]
        assert set(asyncio.run(collection.scores(reversed_passages, axes[1], None, None))) == {"dense"}
        stored = asyncio.run(collection.stored_vectors(["pump"]))["pump"].late
        assert stored is not None
        assert stored == pytest.approx(tokens[0], abs=0.1)
    asyncio.run(store.close())


# Filters, and the passages that each keeps by their numbers and by the first dimension of their vectors.
KEPT: list[tuple[dict[str, Any], Callable[[Any, Any], Any]]] = [
    ({}, lambda at, _: at >= 0),
    ({"even": True}, lambda at, _: at % 2 == 0),
    ({"not": {"digit": 3}}, lambda at, _: at % 10 != 3),
    ({"digit": {"gte": 2, "lt": 8}}, lambda at, _: (at % 10 >= 2) & (at % 10 < 8)),
    ({"digit": 3}, lambda at, _: at % 10 == 3),
    ({"even": True, "digit": {"gt": 5}}, lambda at, _: (at % 10 == 6) | (at % 10 == 8)),
    ({"side": True}, lambda _, first: first > 0),
]
SIZE, MANY = 64, 6_000


async def write_many(store: EdgeStore, vectors: F32) -> None:
    """Write a document for each vector, with the metadata of KEPT."""
    collection, no_terms = store.collection("books"), bm25.embed([""], query=False).rows[0]
    rows = [
        Passage(str(at), str(at), "", 0, 0, {"even": at % 2 == 0, "digit": at % 10, "side": bool(row[0] > 0)})
        for at, row in enumerate(vectors)
    ]
    for at in range(0, len(rows), 500):
        batch = [Vectors(row, no_terms) for row in vectors[at : at + 500]]
        await collection.replace(rows[at : at + 500], batch)


def test_many_passages_are_found_in_four_bits(tmp_path: Path) -> None:
    """In a large collection the best passages, also of a filter, are those of an exhaustive search."""
    store = open_store(tmp_path, (*MODELS, ModelInfo("broad", "dense", dimensions=SIZE, max_input_tokens=8)))
    asyncio.run(store.put("books", Profile("broad", SIZE, "bm25")))
    random = np.random.default_rng(20)
    vectors = normalize(random.standard_normal((MANY, SIZE), dtype=np.float32))
    questions = normalize(random.standard_normal((21, SIZE), dtype=np.float32))
    # The last filter keeps half of the passages, and none that is near to its questions.
    questions[6::7] = -np.eye(1, SIZE, dtype=np.float32)
    asyncio.run(write_many(store, vectors))
    for number, question in enumerate(questions):
        filter_json, keep = KEPT[number % 7]
        condition = parse(filter_json) if filter_json else None

        hits = asyncio.run(store.collection("books").search(question, None, 10, condition))

        kept = keep(np.arange(MANY), vectors[:, 0])
        if filter_json == {"side": True}:
            # Cosines of about zero are in no certain order in four bits.
            assert len(hits) == 10
            assert all(kept[int(hit.passage.id)] for hit in hits)
            continue
        cosines = np.where(kept, vectors @ question, -2)
        best = np.argsort(-cosines)[:10]
        assert [int(hit.passage.id) for hit in hits] == best.tolist()
        assert [hit.score for hit in hits] == pytest.approx(cosines[best].tolist(), abs=1e-5)
    asyncio.run(store.close())


def test_a_collection_that_is_deleted_in_the_middle_of_a_search_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one is ranked in a thread; its passages are read afterwards, on the event loop."""
    ranked, deleted = threading.Event(), threading.Event()
    rank = EdgeSearch._fuse

    def rank_and_wait(self: EdgeSearch, *values: Any) -> Any:
        ranking = rank(self, *values)
        ranked.set()
        deleted.wait(30)
        return ranking

    monkeypatch.setattr(search, "_INLINE_PASSAGES", 0)
    monkeypatch.setattr(EdgeSearch, "_fuse", rank_and_wait)

    async def scenario() -> None:
        store = open_store(tmp_path)
        collection = await store.ensure("books", DEFAULT)
        dense, sparse = np.eye(4, dtype=np.float32)[0], bm25.embed(["pump"], query=False).rows[0]
        await collection.replace(passages("a", ["pump"]), [Vectors(dense, sparse)])
        result = asyncio.create_task(collection.search(dense, sparse, 5, None))
        await asyncio.to_thread(ranked.wait, 30)
        await store.delete("books")
        deleted.set()
        with pytest.raises(CollectionGone):
            await result
        await store.close()

    asyncio.run(scenario())
