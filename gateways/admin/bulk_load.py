"""
Load the output of `gateways.admin bulk-embed` into a vector store, as if it had been ingested.

    python -m gateways.admin bulk-load --from vectors --into pgvector --collection default

Set DATA_DIR, DATABASE_URL and QDRANT_URL as for the gateway. Stop the gateway first if the store is `edge`. The
column `metadata` becomes the metadata; without it, all columns but `id`, `text` and `embedding` do. A second run
replaces the documents. The job journal does not hold them, so `reindex` needs --force to leave them out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gateways.core.app.server import read_settings
from gateways.core.errors import GatewayError
from gateways.core.ingest.passages import cut
from gateways.core.jobs.base import Document
from gateways.core.persistence import data_dir
from gateways.core.profiles import Profile
from gateways.core.scoring import bm25
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import Collection, Passage, Vectors, VectorStore
from gateways.core.vector_source import describe_differences, parse_source

STORES = get_args(StoreSettings.model_fields["store"].annotation)
# The file beside the vectors that names the model that made them.
MADE_BY = "made-by.json"
OWN_COLUMNS = frozenset({"id", "text", "embedding"})
ROWS_AT_ONCE = 256


class NotLoaded(Exception):
    """The vectors cannot be loaded into this store. The message says why."""


def main() -> None:
    """Parse the command line and the environment, then load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, required=True, help="the output of bulk-embed")
    parser.add_argument("--into", choices=STORES, required=True)
    parser.add_argument("--collection", default="default")
    arguments = parser.parse_args()
    try:
        print(
            asyncio.run(
                load_into(arguments.into, arguments.source, arguments.collection, read_settings(StoreSettings))
            )
        )
    except NotLoaded as error:
        raise SystemExit(f"not finished: {error}") from None


async def load_into(store: str, source: Path, name: str, settings: StoreSettings) -> str:
    """Write the documents of a folder with their vectors into a collection. Returns a summary. Raises NotLoaded."""
    note, files = source / MADE_BY, sorted((source / "vectors").glob("*.parquet"))
    if not (note.is_file() and files):
        raise NotLoaded(f"{source} has no {MADE_BY} and vectors/*.parquet, the output of bulk-embed")
    made_by = json.loads(note.read_text())
    if store == "pgvector" and not settings.database_url:
        raise NotLoaded("DATABASE_URL is not set")
    vector_source = replace(parse_source(made_by), sparse_precision=bm25.INFO.precision)
    profile = Profile(made_by["model"], made_by["dimensions"], bm25.ID, vector_source=vector_source)
    try:
        with data_dir.lock(settings.data_dir):
            vector_store = await import_module(f"gateways.core.stores.{store}.store").open_store(
                settings, profile, None
            )
            try:
                collection = await _open_collection(vector_store, name, profile, settings)
                await _write(collection, files)
                return f"{collection.documents} documents are in collection {name!r} of {store}"
            finally:
                await vector_store.close()
    except (GatewayError, data_dir.DataDirBusy, data_dir.DataDirUnusable) as error:
        raise NotLoaded(str(error)) from None


async def _open_collection(store: VectorStore, name: str, profile: Profile, settings: StoreSettings) -> Collection:
    """Return a collection for vectors of `profile`. Raises NotLoaded if its documents have other vectors."""
    collection = await store.ensure(name, profile)
    if not collection.profile.shares_vectors(profile):
        raise NotLoaded(f"collection {name!r} holds {collection.profile}, and these are of {profile}")
    # An empty collection takes this source, and any other one keeps its own.
    await store.put(name, collection.profile.with_source(profile.vector_source))
    collection = store.collection(name)
    stored, loaded = collection.profile.vector_source, profile.vector_source
    if stored and loaded and stored.differences(loaded) and not settings.allow_vector_mismatch:
        one, other = describe_differences(stored, loaded)
        raise NotLoaded(
            f"collection {name!r} holds vectors with {one}, and these have {other}. "
            "Load them into another collection, or set ALLOW_VECTOR_MISMATCH=true."
        )
    return collection


async def _write(collection: Collection, files: Sequence[Path]) -> None:
    total = sum(pq.read_metadata(file).num_rows for file in files)
    with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as display:
        bar = display.add_task(f"{collection.name}: documents", total=total)
        for file in files:
            for rows in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE):
                passages, vectors = zip(*_read(rows.to_pylist()), strict=True)
                await collection.replace(passages, vectors)
                display.advance(bar, len(passages))
            await collection.flush()


def _read(rows: list[dict[str, Any]]) -> Iterator[tuple[Passage, Vectors]]:
    """Yield a passage and its vectors per row. Each row is a document of one passage."""
    weights = bm25.embed([row["text"] for row in rows], query=False).rows
    for row, sparse in zip(rows, weights, strict=True):
        columns = row.get("metadata") or {name: value for name, value in row.items() if name not in OWN_COLUMNS}
        metadata = {name: value for name, value in columns.items() if value is not None}
        [passage] = cut(Document(str(row["id"]), row["text"], metadata), ())
        yield passage, Vectors(np.asarray(row["embedding"], dtype=np.float32), sparse)


if __name__ == "__main__":
    main()
