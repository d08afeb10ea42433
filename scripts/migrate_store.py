"""
Copy all collections from one store to another: their profiles, their passages and the vectors as they are.

    python -m scripts.migrate_store --from edge --to pgvector

DATA_DIR, DATABASE_URL and QDRANT_URL are read from the environment, as the gateway reads them; no gateway may serve
meanwhile. It may be stopped and begun again: it goes on where it was. At the end both are counted and asked the same.
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

from gateways.core import data_dir
from gateways.core.backend import F32
from gateways.core.errors import GatewayError
from gateways.core.profiles import Profile
from gateways.core.server import read_settings
from gateways.core.settings import Settings
from gateways.core.stores.base import Collection, VectorStore
from gateways.core.stores.durable import write

STORES = get_args(Settings.model_fields["store"].annotation)
PAGE = 64
# So many stored passages are looked for in both, and the scores of the best so many compared.
SAMPLED, BEST, WITHIN = 20, 10, 1e-3
# What an empty default collection is made with until it gets the profile of the original.
UNTIL_COPIED = Profile("none", 1, "bm25")


class Differs(Exception):
    """The copy does not hold what the original does."""


def main() -> None:
    """Read the command line and the environment, and copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", choices=STORES, required=True)
    parser.add_argument("--to", dest="target", choices=STORES, required=True)
    asked = parser.parse_args()
    if asked.source == asked.target:
        parser.error("--from and --to are the same")
    settings = read_settings()
    if "pgvector" in (asked.source, asked.target) and not settings.database_url:
        parser.error("DATABASE_URL is not set")
    try:
        taken = data_dir.lock(settings.data_dir)
        print(asyncio.run(_run(settings, asked.source, asked.target)))
        taken.close()
    except (Differs, GatewayError, data_dir.DataDirBusy, data_dir.DataDirUnusable) as error:
        raise SystemExit(f"not finished: {error}") from None


async def _run(settings: Settings, source: str, target: str) -> str:
    stores: dict[str, VectorStore] = {}
    try:
        for name in (source, target):
            stores[name] = await import_module(f"gateways.core.stores.{name}").open_store(
                settings, UNTIL_COPIED, None
            )
        return await migrate(stores[source], stores[target], settings.data_dir / f"migrating-to-{target}.json")
    finally:
        for store in stores.values():
            await store.close()


async def migrate(source: VectorStore, target: VectorStore, progress: Path) -> str:
    """
    Copy from one to the other, from where `progress` says; say what was copied.

    Raises Differs when the copy has other numbers of documents or other scores, Conflict when collections of the
    target have documents of other models.
    """
    reached = _reached(progress)
    await source.refresh(counts=True)
    with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        for collection in source.collections():
            await target.put(collection.name, collection.profile)
            bar = shown.add_task(f"{collection.name}: documents", total=collection.documents)
            copy = target.collection(collection.name)
            after = uuid.UUID(reached[copy.name]) if copy.name in reached else None
            while page := await collection.page(after, PAGE):
                await copy.add([one for _, one, _ in page], [its for _, _, its in page])
                await copy.flush()
                after = page[-1][0]
                reached[copy.name] = str(after)
                write(progress, json.dumps(reached).encode())
                shown.update(bar, completed=copy.documents)
    await source.refresh(counts=True)
    for collection in source.collections():
        await _compare(collection, target.collection(collection.name))
    write(progress, b"{}")
    copied = [f"{one.documents} documents in {one.name!r}" for one in source.collections()]
    return f"copied, counted and searched in both: {', '.join(copied)}"


def _reached(progress: Path) -> dict[str, str]:
    """Return the key of the last passage that was copied, by collection."""
    reached: dict[str, str] = json.loads(progress.read_text()) if progress.is_file() else {}
    return reached


async def _compare(original: Collection, copy: Collection) -> None:
    if original.documents != copy.documents:
        raise Differs(f"{original.name!r} has {original.documents} documents and its copy {copy.documents}")
    for dense in await _sampled(original):
        scored, again = await _best(original, dense), await _best(copy, dense)
        if not np.allclose(scored, again, atol=WITHIN):
            raise Differs(f"a search in {original.name!r} scores {scored}, in its copy {again}")


async def _sampled(collection: Collection) -> Sequence[F32]:
    """Return the dense vectors of some passages, from places that are drawn."""
    drawn = random.Random(collection.name)  # noqa: S311 (to repeat it)
    pages = [await collection.page(uuid.UUID(int=drawn.getrandbits(128)), 1) for _ in range(SAMPLED)]
    return [its.dense for page in pages for _, _, its in page]


async def _best(collection: Collection, dense: F32) -> list[float]:
    return [hit.score for hit in await collection.search(dense, None, BEST, None)]


if __name__ == "__main__":
    main()
