"""A filter that keeps few passages, far from the query, in a database whose index of vectors ends its scan early."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import psycopg

from gateways.core.backend import SparseVector
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.filters import parse
from gateways.core.stores.pgvector.store import open_store
from tests.system.stores.conftest import DEFAULT

COUNT = 2_000
NO_TERMS = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))


def test_a_narrow_range_is_found_where_the_index_gives_up(database_url: str, tmp_path: Path) -> None:
    """The scan ends after 20,000 rows; here after 200, so that a test need not write as many."""
    database = database_url.split("?")[0].rsplit("/", 1)[-1]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("LOAD 'vector'")
        connection.execute(f"ALTER DATABASE {database} SET hnsw.max_scan_tuples = 200")
    angles = np.linspace(0, 3, COUNT, dtype=np.float32)
    dense = np.stack([np.cos(angles), np.sin(angles), 0 * angles, 0 * angles], axis=1)

    async def scenario() -> list[str]:
        settings = StoreSettings(data_dir=tmp_path, store="pgvector", database_url=database_url)
        store = await open_store(settings, DEFAULT, None)
        collection = await store.ensure("books", DEFAULT)
        passages = [Passage(str(n), str(n), "x", 0, 1, {"number": n}) for n in range(COUNT)]
        await collection.replace(passages, [Vectors(row, NO_TERMS) for row in dense])
        hits = await collection.search(dense[0], None, 5, parse({"number": {"gte": COUNT - 3}}))
        await store.close()
        return [hit.passage.id for hit in hits]

    assert asyncio.run(scenario()) == [str(COUNT - 3), str(COUNT - 2), str(COUNT - 1)]
