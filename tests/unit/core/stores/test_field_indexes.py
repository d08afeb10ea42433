"""The indexes of metadata fields in the embedded store: made as fields appear, and for data of earlier versions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as qdrant

from gateways.core.backend import SparseVector
from gateways.core.profiles import Profile
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.edge import collection as edge_collection
from gateways.core.stores.edge import shard as edge_shard
from gateways.core.stores.edge.collection import EdgeCollection
from gateways.core.stores.edge.field_indexes import FIELDS, FieldIndexes
from gateways.core.stores.edge.shard import Shard
from gateways.core.stores.filters import Equals, In, Range, parse
from gateways.core.stores.payloads import INDEXED

PROFILE = Profile("tiny", 4, "bm25")
NO_TERMS = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))
DENSE = np.full(4, 0.5, np.float32)


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    """Yield a shard of no collection."""
    made = edge_shard.create(tmp_path, PROFILE, threads=1)
    yield made
    made.engine.close()


def write(collection: EdgeCollection, **metadata: Any) -> None:
    """Write a document whose id is its metadata."""
    passage = Passage(str(metadata), str(metadata), "text", 0, 4, metadata)
    asyncio.run(collection.replace([passage], [Vectors(DENSE, NO_TERMS)]))


def list_indexes(shard: Shard) -> set[str]:
    """Return the engine's paths of metadata that have an index."""
    return set(shard.engine.info().payload_schema) - set(INDEXED)


def count_matches(path: Path, filter_json: dict[str, Any]) -> int:
    """Open the collection in a folder, search it, and close it."""
    collection = edge_collection.load(path, PROFILE, threads=1)
    try:
        return len(asyncio.run(collection.search(DENSE, None, 10, parse(filter_json))))
    finally:
        collection.close()


def test_a_field_gets_its_index_when_it_appears(shard: Shard, tmp_path: Path) -> None:
    """Of strings, numbers, booleans, lists of them, and nested fields under both of their readings."""
    fields = FieldIndexes(tmp_path, shard)

    fields.add([{"lang": "en", "year": 7, "tags": ["a"], "by": {"name": "Ann"}}, {"ok": True, "nothing": None}])

    nested = {"metadata.by.name", 'metadata."by.name"'}
    assert list_indexes(shard) == {"metadata.lang", "metadata.year", "metadata.tags", "bools.ok"} | nested
    for test in (Equals("lang", "en"), Range("year", {"gt": 3.0}), In("ok", (False,)), Equals("by.name", "Ann")):
        assert fields.covers(test)
    for test in (Equals("lang", True), Equals("nothing", 1)):
        assert not fields.covers(test)


def test_only_so_many_fields_get_an_index(shard: Shard, tmp_path: Path) -> None:
    """The first ones do; a name that no filter can have, and a text that nobody filters by, do not count."""
    fields = FieldIndexes(tmp_path, shard, max_fields=2)

    fields.add([{'"': 1, "": 1, "text": "x" * 1_000, "first": 1, "second": 1, "third": 1}])

    assert list_indexes(shard) == {"metadata.first", "metadata.second"}


def test_a_field_that_appears_late_gets_its_index_at_the_next_start(shard: Shard, tmp_path: Path) -> None:
    """Making an index over many passages would hold up every request."""
    point = qdrant.Point(1, {"dense": DENSE.tolist()}, {"metadata": {}})
    shard.engine.update(qdrant.UpdateOperation.upsert_points([point]))
    FieldIndexes(tmp_path, shard, max_passages=0).add([{"late": 1}])
    assert list_indexes(shard) == set()

    FieldIndexes(tmp_path, shard)

    assert list_indexes(shard) == {"metadata.late"}


def test_data_of_an_earlier_version_gets_its_indexes_when_it_is_opened(tmp_path: Path) -> None:
    """It has no file of fields, and booleans below the top level were not repeated."""
    path = tmp_path / "books"
    collection = edge_collection.create(path, PROFILE, threads=1)
    write(collection, lang="en", at={"ok": True})
    write(collection, lang="de", at={"ok": [False]})
    collection.close()
    (path / FIELDS).unlink()
    shard = edge_shard.load(path, PROFILE, threads=1)
    for name in list_indexes(shard):
        shard.engine.update(qdrant.UpdateOperation.delete_field_index(name))
    shard.engine.update(qdrant.UpdateOperation.delete_payload_by_filter(qdrant.Filter(), ["bools"]))
    shard.engine.close()

    assert count_matches(path, {"at.ok": True}) == 1
    assert count_matches(path, {"at.ok": False}) == 1
    assert count_matches(path, {"not": {"at.ok": True}}) == 1
    shard = edge_shard.load(path, PROFILE, threads=1)
    assert {"metadata.lang", "bools.at.ok"} <= list_indexes(shard)
    shard.engine.close()


@pytest.mark.parametrize("name", ["a.b", "a..b", ".", "ä ß", "[0]", "a[]", "a[0].b", "'", "x" * 256, "\n", "*", "0"])
def test_a_field_of_any_name_can_be_written_and_found(tmp_path: Path, name: str) -> None:
    """The engine's paths have a syntax, and no name of a field is part of it."""
    collection = edge_collection.create(tmp_path / "books", PROFILE, threads=1)
    write(collection, **{name: "x"})
    write(collection, **{name: "y"})

    hits = asyncio.run(collection.search(DENSE, None, 10, parse({name: "x"})))

    assert [hit.passage.metadata for hit in hits] == [{name: "x"}]
    collection.close()
