"""From the embedded engine to PostgreSQL and back: all that was there, stopped half-way and begun again."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.core.scoring import bm25
from gateways.core.scoring.vectors import normalize
from gateways.core.stores.base import CollectionDamaged, Passage, Vectors, VectorStore
from gateways.core.stores.edge.store import EdgeStore
from gateways.core.vector_source import VectorSource
from tests.support.gateways import ROOT
from tests.system.stores.conftest import DEFAULT

PASSAGES = 150
SOURCE = VectorSource(precision="int8", revision="a" * 40, document_prompt="read: ")
migrate_store: Any = import_module("gateways.admin.migrate_store")


async def fill(store: VectorStore) -> None:
    """Write documents of three passages each, with the vectors of their tokens."""
    late = dataclasses.replace(DEFAULT, late_interaction=True, top_k=7, vector_source=SOURCE)
    collection = await store.ensure("books", late)
    rng = np.random.default_rng(7)
    words = [f"word{n} of passage" for n in range(PASSAGES)]
    passages = [
        Passage(f"d{n // 3}#{n % 3}", f"d{n // 3}", word, 0, 9, {"n": n}, n % 3) for n, word in enumerate(words)
    ]
    dense = normalize(rng.standard_normal((PASSAGES, 4)).astype(np.float32))
    rows = bm25.embed(words, query=False).rows
    tokens = [np.stack([vector, vector]).astype(np.float16) for vector in dense]
    vectors = [Vectors(*parts) for parts in zip(dense, rows, tokens, strict=True)]
    await collection.replace(passages, vectors)
    await collection.flush()


def run(source: str, target: str, data_dir: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "gateways.admin", "migrate-store", "--from", source, "--to", target]
    environ = {**os.environ, "DATA_DIR": str(data_dir), "DATABASE_URL": url}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)  # noqa: S603


def test_there_and_back_again(tmp_path: Path, database_url: str) -> None:
    """Every document with its metadata and its passages; the profiles too."""
    here, there = tmp_path / "here", tmp_path / "there"
    store = EdgeStore(here / "vectors", DEFAULT, None, 1)
    asyncio.run(fill(store))
    profile, documents = store.collection("books").profile, store.count()
    before = [asyncio.run(store.collection("books").document(f"d{n}")) for n in range(PASSAGES // 3)]
    asyncio.run(store.close())

    steps = (("edge", "pgvector", here), ("pgvector", "qdrant", there), ("qdrant", "edge", there))
    for source, target, folder in steps:
        ran = run(source, target, folder, database_url)
        assert ran.returncode == 0, ran.stderr
        assert "50 documents in 'books'" in ran.stdout

    again = EdgeStore(there / "vectors", DEFAULT, None, 1)
    assert (again.collection("books").profile, again.count()) == (profile, documents)
    assert [asyncio.run(again.collection("books").document(f"d{n}")) for n in range(PASSAGES // 3)] == before
    asyncio.run(again.close())


def test_it_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is not copied twice, and at the end everything is there once."""
    monkeypatch.setattr(migrate_store, "PAGE", 16)
    source = EdgeStore(tmp_path / "source", DEFAULT, None, 1)
    target = EdgeStore(tmp_path / "target", DEFAULT, None, 1)
    progress = tmp_path / "progress.json"
    asyncio.run(fill(source))
    seen: list[int] = []

    async def stopped() -> None:
        await target.put("books", source.collection("books").profile)
        page = source.collection("books").page

        async def counted(after: object, limit: int) -> object:
            seen.append(limit)
            if len(seen) == 4:
                raise KeyboardInterrupt
            return await page(after, limit)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(source.collection("books"), "page", counted)
            await migrate_store.migrate(source, target, progress)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(stopped())
    assert progress.is_file()
    asyncio.run(migrate_store.migrate(source, target, progress))
    assert target.count() == source.count() == PASSAGES // 3
    assert progress.read_text() == "{}"
    for store in (source, target):
        asyncio.run(store.close())


def test_a_copy_that_differs_is_told(tmp_path: Path) -> None:
    """What was there before, and is not in the original, is no copy."""
    source = EdgeStore(tmp_path / "source", DEFAULT, None, 1)
    target = EdgeStore(tmp_path / "target", DEFAULT, None, 1)
    asyncio.run(fill(target))
    asyncio.run(source.put("books", target.collection("books").profile))
    with pytest.raises(migrate_store.Differs, match="has 0 documents and its copy 50"):
        asyncio.run(migrate_store.migrate(source, target, tmp_path / "progress.json"))
    for store in (source, target):
        asyncio.run(store.close())


def test_vectors_of_two_sources_do_not_mix(tmp_path: Path) -> None:
    """A target that has documents of fp32 takes none of int8; the message has both sources."""
    source = EdgeStore(tmp_path / "source", DEFAULT, None, 1)
    target = EdgeStore(tmp_path / "target", DEFAULT, None, 1)
    asyncio.run(fill(source))
    fp32 = dataclasses.replace(SOURCE, precision="fp32")
    asyncio.run(target.put("books", source.collection("books").profile.with_source(fp32)))
    asyncio.run(fill(target))

    with pytest.raises(migrate_store.Differs, match=r"'books' .*int8.* documents .*fp32.* DELETE"):
        asyncio.run(migrate_store.migrate(source, target, tmp_path / "progress.json"))

    for store in (source, target):
        asyncio.run(store.close())


def test_a_damaged_source_is_not_copied(tmp_path: Path) -> None:
    """A copy without the damaged collection would be taken for the whole store."""
    source = EdgeStore(tmp_path / "source", DEFAULT, None, 1)
    asyncio.run(fill(source))
    asyncio.run(source.close())
    (tmp_path / "source" / "books" / "collection.json").unlink()
    source = EdgeStore(tmp_path / "source", DEFAULT, None, 1)
    target = EdgeStore(tmp_path / "target", DEFAULT, None, 1)

    with pytest.raises(CollectionDamaged, match="'books' is damaged"):
        asyncio.run(migrate_store.migrate(source, target, tmp_path / "progress.json"))

    for store in (source, target):
        asyncio.run(store.close())
