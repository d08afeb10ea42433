"""
Copy all collections from one store to another: profiles, passages and vectors, without embedding anything again.

    python -m gateways.admin migrate-store --from edge --to pgvector

Set DATA_DIR, DATABASE_URL and QDRANT_URL as for the gateway, and stop all gateways first. A run that is stopped
resumes at its last page. At the end the document counts and the scores of sample searches are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import uuid
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gateways.core.app.server import read_settings
from gateways.core.backend import F32
from gateways.core.errors import GatewayError
from gateways.core.persistence import data_dir
from gateways.core.persistence.atomic_files import write
from gateways.core.profiles import Profile
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import Collection, VectorStore

STORES = get_args(StoreSettings.model_fields["store"].annotation)
PAGE = 64
# Sample searches, the hits compared of each, and the tolerance of a score.
SAMPLES, TOP_K, TOLERANCE = 20, 10, 1e-3
# The profile of an empty default collection until the original's is copied.
PLACEHOLDER = Profile("none", 1, "bm25")


class Differs(Exception):
    """The copy differs from the original."""


def main() -> None:
    """Parse the command line and the environment, then copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", choices=STORES, required=True)
    parser.add_argument("--to", dest="target", choices=STORES, required=True)
    arguments = parser.parse_args()
    if arguments.source == arguments.target:
        parser.error("--from and --to are the same")
    settings = read_settings(StoreSettings)
    if "pgvector" in (arguments.source, arguments.target) and not settings.database_url:
        parser.error("DATABASE_URL is not set")
    try:
        lock = data_dir.lock(settings.data_dir)
        print(asyncio.run(_run(settings, arguments.source, arguments.target)))
        lock.close()
    except (Differs, GatewayError, data_dir.DataDirBusy, data_dir.DataDirUnusable) as error:
        raise SystemExit(f"not finished: {error}") from None


async def _run(settings: StoreSettings, source: str, target: str) -> str:
    stores: dict[str, VectorStore] = {}
    try:
        for name in (source, target):
            stores[name] = await import_module(f"gateways.core.stores.{name}.store").open_store(
                settings, PLACEHOLDER, None
            )
        return await migrate(stores[source], stores[target], settings.data_dir / f"migrating-to-{target}.json")
    finally:
        for store in stores.values():
            await store.close()


async def migrate(source: VectorStore, target: VectorStore, progress: Path) -> str:
    """
    Copy `source` to `target`, and resume from the file `progress`. Returns a summary.

    Raises Differs if document counts or scores differ afterwards, Conflict if a collection of the target holds
    documents of another model, CollectionDamaged if the source is without one.
    """
    for error in source.damaged.values():
        raise error
    last_keys = _read_progress(progress)
    await source.refresh(counts=True)
    with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as display:
        for collection in source.collections():
            await target.put(collection.name, collection.profile)
            bar = display.add_task(f"{collection.name}: documents", total=collection.documents)
            copy = target.collection(collection.name)
            _require_equal_sources(collection, copy)
            after = uuid.UUID(last_keys[copy.name]) if copy.name in last_keys else None
            while page := await collection.page(after, PAGE):
                await copy.add([passage for _, passage, _ in page], [vectors for _, _, vectors in page])
                await copy.flush()
                after = page[-1][0]
                last_keys[copy.name] = str(after)
                write(progress, json.dumps(last_keys).encode())
                display.update(bar, completed=copy.documents)
    await source.refresh(counts=True)
    for collection in source.collections():
        await _compare(collection, target.collection(collection.name))
    write(progress, b"{}")
    copied = [f"{original.documents} documents in {original.name!r}" for original in source.collections()]
    return f"copied, counted and searched in both: {', '.join(copied)}"


def _require_equal_sources(original: Collection, copy: Collection) -> None:
    """Raise Differs if the target has documents with vectors of another source, which it keeps."""
    if copy.profile.vector_source != original.profile.vector_source:
        raise Differs(
            f"the vectors of {original.name!r} have the source {original.profile.vector_source}. The target has "
            f"documents of {copy.profile.vector_source}: DELETE its collection first"
        )


def _read_progress(progress: Path) -> dict[str, str]:
    """Return the key of the last copied passage, by collection."""
    last_keys: dict[str, str] = json.loads(progress.read_text()) if progress.is_file() else {}
    return last_keys


async def _compare(original: Collection, copy: Collection) -> None:
    if original.documents != copy.documents:
        raise Differs(f"{original.name!r} has {original.documents} documents and its copy {copy.documents}")
    for dense in await _sample_vectors(original):
        scores, copy_scores = await _search(original, dense), await _search(copy, dense)
        if not np.allclose(scores, copy_scores, atol=TOLERANCE):
            raise Differs(f"a search in {original.name!r} scores {scores}, in its copy {copy_scores}")


async def _sample_vectors(collection: Collection) -> Sequence[F32]:
    """Return the dense vectors of up to SAMPLES passages, drawn with a seed."""
    rng = random.Random(collection.name)  # noqa: S311 (repeatable, no secret)
    pages = [await collection.page(uuid.UUID(int=rng.getrandbits(128)), 1) for _ in range(SAMPLES)]
    return [vectors.dense for page in pages for _, _, vectors in page]


async def _search(collection: Collection, dense: F32) -> list[float]:
    """Return the scores of the TOP_K hits."""
    return [hit.score for hit in await collection.search(dense, None, TOP_K, None)]


if __name__ == "__main__":
    main()
