"""Calls of a Qdrant server by size, on the client's own engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from gateways.core.backend import SparseVector
from gateways.core.profiles import Profile
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.qdrant import points
from gateways.core.stores.qdrant.calls import MAX_LATE_VALUES, points_per_read, split_by_size
from gateways.core.stores.qdrant.collection import QdrantCollection

# The limit of a server, in bytes.
SERVER_LIMIT = 33_554_432
DIMENSIONS = 1_024


def make_passages(tokens: Sequence[int], text: str = "a text") -> tuple[list[Passage], list[Vectors]]:
    """Return passages with these numbers of token vectors."""
    random = np.random.default_rng(5)
    dense = np.full(DIMENSIONS, DIMENSIONS**-0.5, np.float32)
    sparse = SparseVector(np.array([1, 2], np.uint32), np.array([0.5, 0.1], np.float32))
    passages = [Passage(f"d{n}", f"d{n}", text, 0, len(text)) for n in range(len(tokens))]
    late = [random.standard_normal((count, DIMENSIONS)).astype(np.float16) for count in tokens]
    return passages, [Vectors(dense, sparse, rows) for rows in late]


@pytest.mark.parametrize(
    ("tokens", "text"), [([512] * 5, "a text"), ([1] * 600, "a text"), ([1] * 8, "\0" * 3_000_000)]
)
def test_every_call_fits_into_a_server(tokens: list[int], text: str) -> None:
    """Long passages of a large model, many short ones, and long texts of characters that JSON escapes."""
    passages, vectors = make_passages(tokens, text)

    slices = list(split_by_size(passages, vectors))

    assert [start for start, _ in slices] == [0, *[end for _, end in slices[:-1]]]
    assert slices[-1][1] == len(passages)
    for start, end in slices:
        batch = [points.to_point(*pair) for pair in zip(passages[start:end], vectors[start:end], strict=True)]
        assert len(json.dumps([point.model_dump() for point in batch])) < SERVER_LIMIT


def test_a_passage_with_too_many_token_vectors_is_stored_without_them() -> None:
    """It is found by its other vectors, and its late score is 0."""

    async def scenario() -> None:
        client = AsyncQdrantClient(":memory:")
        profile = Profile("large", DIMENSIONS, "bm25", late_interaction=True)
        await client.create_collection("books", **points.vectors_config(profile))
        collection = QdrantCollection(client, "books", "books", is_server=False)
        collection.profile = profile
        passages, vectors = make_passages([MAX_LATE_VALUES // DIMENSIONS + 1, 4])

        await collection.replace(passages, vectors)

        page = await collection.page(None, 10)
        rest = await collection.page(page[0][0], 10)
        late = {passage.id: row.late for _, passage, row in [*page[:1], *rest]}
        assert late["d0"] is None
        assert late["d1"] is not None
        scores = await collection.scores(passages, vectors[0].dense, None, vectors[1].late)
        assert scores["late"][0] == 0.0
        assert scores["late"][1] > 0.9
        assert (await client.count("books")).count == 2
        await client.close()

    asyncio.run(scenario())


def test_reads_have_fewer_points_where_these_are_large() -> None:
    """An answer of the server has a limit of memory here, too."""
    late = [points_per_read(Profile("model", size, "bm25", late_interaction=True)) for size in (384, DIMENSIONS)]
    assert late == [3, 1]
    assert points_per_read(Profile("model", DIMENSIONS, "bm25")) == 256
