"""Damaged collections of the embedded store: named, kept on disk and not served, beside others that are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gateways.core.scoring import bm25
from gateways.core.stores.base import CollectionDamaged, Vectors
from gateways.core.stores.edge.document_count import DocumentCount, read_count
from gateways.core.stores.edge.store import EdgeStore
from tests.unit.core.stores.edge_stores import DEFAULT, fill, open_store, passages, words_of

DOCUMENTS = 10
Damage = Callable[[Path], None]


def find_file(collection: Path, pattern: str) -> Path:
    """Return the only file of a collection with this name."""
    [file] = collection.rglob(pattern)
    return file


def cut(pattern: str) -> Damage:
    """Return what cuts a file to a third."""

    def damage(collection: Path) -> None:
        file = find_file(collection, pattern)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])

    return damage


def garble(pattern: str) -> Damage:
    """Return what overwrites a file with bytes that mean nothing."""

    def damage(collection: Path) -> None:
        file = find_file(collection, pattern)
        file.write_bytes(b"\xa5" * file.stat().st_size)

    return damage


def remove(pattern: str) -> Damage:
    """Return what removes a file."""
    return lambda collection: find_file(collection, pattern).unlink()


DAMAGES = {
    "fewer documents": cut("mutable_id_tracker.mappings"),
    "fewer versions": cut("mutable_id_tracker.versions"),
    "unreadable mappings": garble("mutable_id_tracker.mappings"),
    "unreadable configuration": garble("edge_config.json"),
    "no configuration": remove("edge_config.json"),
    "unreadable profile": garble("collection.json"),
    "no profile": remove("collection.json"),
    # The engine panics, which is no Exception.
    "a panic": cut("vector_storage-dense/vectors/status.dat"),
}


async def fill_many(store: EdgeStore, name: str) -> None:
    """Write ten documents of two passages each, durably."""
    collection = await store.ensure(name, DEFAULT)
    written = [passage for number in range(DOCUMENTS) for passage in passages(f"d-{number}", ["one", "two"])]
    rows = bm25.embed([passage.text for passage in written], query=False).rows
    await collection.replace(written, [Vectors(np.full(4, 0.5, np.float32), row) for row in rows])
    await collection.flush()


def files(folder: Path) -> set[str]:
    """Return the names of all files below a folder, without the logs that the engine applies at each start."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "tracker_journal.dat")
    return {str(path.relative_to(folder)) for path in paths}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["books", "default"])
def test_a_damaged_collection_is_left_out_and_kept(tmp_path: Path, name: str, damage: Damage) -> None:
    """Every call on it names it and the cure, none makes an empty one in its place, and the others are served."""
    store = open_store(tmp_path)
    asyncio.run(fill_many(store, name))
    asyncio.run(fill(store, "others", "a", ["three"]))
    asyncio.run(store.close())
    damage(tmp_path / name)
    before = files(tmp_path / name)

    for _ in range(2):
        store = open_store(tmp_path)

        assert list(store.damaged) == [name]
        assert name not in [collection.name for collection in store.collections()]
        assert words_of(store, "others", "a") == ["three"]
        with pytest.raises(CollectionDamaged, match=rf"{name}.* is damaged.*gateways\.admin reindex"):
            store.collection(name)
        for call in (store.ensure(name, DEFAULT), store.put(name, DEFAULT), store.delete(name)):
            with pytest.raises(CollectionDamaged):
                asyncio.run(call)
        asyncio.run(store.close())
        assert files(tmp_path / name) == before


def test_the_count_holds_for_every_change(tmp_path: Path) -> None:
    """Documents that come, are replaced and are deleted leave a store that opens without a complaint."""
    store = open_store(tmp_path)
    asyncio.run(fill_many(store, "books"))
    asyncio.run(fill(store, "books", "d-1", ["one"]))
    asyncio.run(store.collection("books").delete("d-2"))
    asyncio.run(store.close())

    store = open_store(tmp_path)

    assert store.damaged == {}
    assert store.collection("books").documents == DOCUMENTS - 1
    asyncio.run(store.close())


def test_a_collection_of_an_earlier_version_has_no_count(tmp_path: Path) -> None:
    """It is served, and counted from then on."""
    store = open_store(tmp_path)
    asyncio.run(fill_many(store, "books"))
    asyncio.run(store.close())
    (tmp_path / "books" / "documents.json").unlink()

    for damage, names in ((lambda _: None, []), (cut("mutable_id_tracker.mappings"), ["books"])):
        damage(tmp_path / "books")
        store = open_store(tmp_path)
        assert list(store.damaged) == names
        asyncio.run(store.close())


@pytest.mark.parametrize(
    ("written", "documents", "during_the_flush"),
    [
        (["new-1", "new-2"], 12, 10),
        # A kill may take the three that are being replaced, and no others.
        (["d-1", "d-2", "d-3"], 10, 7),
        (["d-1", "new-1"], 11, 9),
        ([], 8, 8),
    ],
)
def test_the_file_has_the_least_number_during_a_flush(
    tmp_path: Path, written: list[str], documents: int, during_the_flush: int
) -> None:
    """The number of before, less what is replaced or deleted; the number of documents once they are on disk."""
    count = DocumentCount(tmp_path, DOCUMENTS)
    count.finish_flush(DOCUMENTS)
    count.add_written(written)

    count.prepare_flush(documents)

    assert (read_count(tmp_path), count.documents) == (during_the_flush, DOCUMENTS)
    count.finish_flush(documents)
    assert (read_count(tmp_path), count.documents) == (documents, documents)
