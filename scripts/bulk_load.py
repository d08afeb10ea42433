"""
Load what `scripts.bulk_embed` made into a vector store, as if it had been ingested.

    python -m scripts.bulk_load --from vectors --into pgvector --collection default

DATA_DIR, DATABASE_URL and QDRANT_URL are read from the environment, as the gateway reads them; with `edge` no gateway
may serve meanwhile. The column `metadata` becomes the metadata; where there is none, all others but `id`, `text` and
`embedding`. Done again, it replaces. The job journal is not told: `scripts.reindex` does not know these documents.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gateways.core import bm25, data_dir
from gateways.core.errors import GatewayError
from gateways.core.jobs.base import Document
from gateways.core.passages import cut
from gateways.core.profiles import Profile
from gateways.core.server import read_settings
from gateways.core.settings import Settings
from gateways.core.stores.base import Collection, Passage, Vectors

STORES = get_args(Settings.model_fields["store"].annotation)
# The file beside the vectors that says what made them.
MADE_BY = "made-by.json"
OWN_COLUMNS = frozenset({"id", "text", "embedding"})
ROWS_AT_ONCE = 256


class NotLoaded(Exception):
    """The vectors cannot go into this store; the message says why."""


def main() -> None:
    """Read the command line and the environment, and load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, required=True, help="the output of scripts.bulk_embed")
    parser.add_argument("--into", choices=STORES, required=True)
    parser.add_argument("--collection", default="default")
    asked = parser.parse_args()
    try:
        print(asyncio.run(load_into(asked.into, asked.source, asked.collection, read_settings())))
    except NotLoaded as error:
        raise SystemExit(f"not finished: {error}") from None


async def load_into(store: str, source: Path, name: str, settings: Settings) -> str:
    """Write all passages of a folder and their vectors into a collection; say how many. Raises NotLoaded."""
    note, files = source / MADE_BY, sorted((source / "vectors").glob("*.parquet"))
    if not (note.is_file() and files):
        raise NotLoaded(f"{source} has no {MADE_BY} and vectors/*.parquet, as scripts.bulk_embed makes them")
    made_by = json.loads(note.read_text())
    if store == "pgvector" and not settings.database_url:
        raise NotLoaded("DATABASE_URL is not set")
    profile = Profile(made_by["model"], made_by["dimensions"], bm25.ID)
    try:
        with data_dir.lock(settings.data_dir):
            opened = await import_module(f"gateways.core.stores.{store}").open_store(settings, profile, None)
            try:
                collection = await opened.ensure(name, profile)
                if not collection.profile.shares_vectors(profile):
                    raise NotLoaded(f"collection {name!r} holds {collection.profile}, and these are of {profile}")
                await _write(collection, files)
                return f"{collection.documents} documents are in collection {name!r} of {store}"
            finally:
                await opened.close()
    except (GatewayError, data_dir.DataDirBusy, data_dir.DataDirUnusable) as error:
        raise NotLoaded(str(error)) from None


async def _write(collection: Collection, files: Sequence[Path]) -> None:
    total = sum(pq.read_metadata(file).num_rows for file in files)
    with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task(f"{collection.name}: documents", total=total)
        for file in files:
            for rows in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE):
                passages, vectors = zip(*_read(rows.to_pylist()), strict=True)
                await collection.replace(passages, vectors)
                shown.advance(bar, len(passages))
            await collection.flush()


def _read(rows: list[dict[str, Any]]) -> Iterator[tuple[Passage, Vectors]]:
    """Yield a passage and its vectors for each row: a row is a document, and all of it is one passage."""
    weighed = bm25.embed([row["text"] for row in rows], query=False).rows
    for row, sparse in zip(rows, weighed, strict=True):
        told = row.get("metadata") or {name: its for name, its in row.items() if name not in OWN_COLUMNS}
        metadata = {name: its for name, its in told.items() if its is not None}
        [passage] = cut(Document(str(row["id"]), row["text"], metadata), ())
        yield passage, Vectors(np.asarray(row["embedding"], dtype=np.float32), sparse)


if __name__ == "__main__":
    main()
