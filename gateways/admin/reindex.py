"""
Rebuild the vector store below DATA_DIR from the job journal: after damage, or for another model.

    python -m gateways.admin reindex --gateway onnx_py

Set the same environment variables as for the gateway, and stop the gateway first. The old store stays in place until
the new one is complete, and is kept beside it then. Documents that the journal does not know, such as those of
migrate-store and bulk-load, are not in the new store: without --force nothing is changed if there are any.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import shutil
import sqlite3
import sys
import time
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple, cast

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from gateways.core.app.server import read_process_settings
from gateways.core.backend import Backend
from gateways.core.errors import GatewayError
from gateways.core.gateway import default_profile
from gateways.core.ingest.worker import IngestWorker
from gateways.core.jobs.base import JobQueue
from gateways.core.jobs.replay import Replay
from gateways.core.models.registry import ModelRegistry
from gateways.core.persistence import data_dir
from gateways.core.persistence.atomic_files import move
from gateways.core.process_settings import GatewaySettings, ModelGatewaySettings, ThinGatewaySettings
from gateways.core.profiles import Profile
from gateways.core.stores.base import DEFAULT, CollectionDamaged
from gateways.core.stores.edge.collection import is_collection, load, read_profile
from gateways.core.stores.edge.document_count import read_count
from gateways.core.stores.edge.store import EdgeStore
from gateways.core.vector_source import find_source

# How long a model, or its service, may be away.
PATIENCE_S, RETRY_S = 60.0, 0.5


class WouldLose(Exception):
    """The store has documents or collections that the journal does not know. The message counts them."""


class KnownDocuments(Replay):
    """The documents that the journal brings back, by replaying it or by jobs that are not finished."""

    def __init__(self, journal: Path) -> None:
        self._replayed: AbstractSet[tuple[str, str]] = frozenset()
        super().__init__(journal)
        # A document may be in the store before its job has counted it.
        pending = self._connection.execute(
            "SELECT collection, documents.id FROM documents JOIN jobs ON number = job "
            "WHERE finished_at IS NULL AND position >= processed"
        )
        self._documents = self._replayed | {(collection, document) for collection, document in pending}
        self._collections = {*self.collections, *(collection for collection, _ in self._documents)}

    def has_collection(self, name: str) -> bool:
        """Return whether the journal brings a collection back."""
        return name in self._collections

    def count(self, collection: str) -> int:
        """Return the number of documents that the journal brings back into a collection."""
        return sum(name == collection for name, _ in self._documents)

    def has_document(self, collection: str, document_id: str) -> bool:
        """Return whether the journal brings a document back."""
        return (collection, document_id) in self._documents

    def _replay_events(self) -> dict[tuple[str, str], tuple[int, int]]:
        places = super()._replay_events()
        self._replayed = places.keys()
        return places


class Rebuilt(NamedTuple):
    """A new store: its number of documents, a line for each document left out, and the folder of the old store."""

    documents: int
    errors: list[str]
    replaced: Path | None


def main() -> None:
    """Parse the command line and the environment, then rebuild."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", choices=["onnx_py", "python", "split", "pseudo"], default="onnx_py")
    parser.add_argument("--force", action="store_true", help="leave out documents that the journal does not know")
    arguments = parser.parse_args()
    backend, settings = _open_backend(arguments.gateway)
    try:
        rebuilt = asyncio.run(rebuild(backend, settings, force=arguments.force))
    except WouldLose as error:
        print(f"nothing was changed: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (data_dir.DataDirBusy, data_dir.DataDirUnusable, FileNotFoundError, RuntimeError, GatewayError) as error:
        raise SystemExit(f"nothing was changed: {error}") from None
    for error_line in rebuilt.errors:
        print(error_line, file=sys.stderr)
    print(f"{rebuilt.documents} documents are in {settings.data_dir / data_dir.VECTORS}")
    if rebuilt.replaced:
        print(f"the old store is kept in {rebuilt.replaced}: delete it once it is not needed any more")


def _open_backend(gateway: str) -> tuple[Backend, GatewaySettings]:
    """Return the backend of a gateway by its name, and its settings. The gateway's packages must be installed."""
    if gateway in ("onnx_py", "python"):
        from gateways.core.inference.local_backend import LocalBackend

        settings = read_process_settings(ModelGatewaySettings)
        return LocalBackend(importlib.import_module(f"gateways.{gateway}.runtime"), settings), settings
    thin = read_process_settings(ThinGatewaySettings)
    if gateway == "split":
        from gateways.split.gateway.remote_backend import RemoteBackend

        return RemoteBackend(thin), thin
    from gateways.core.inference.pseudo_backend import PseudoBackend

    return PseudoBackend(), thin


async def rebuild(backend: Backend, settings: GatewaySettings, *, force: bool = False) -> Rebuilt:
    """
    Build a new store and put it in place. The old store stays if the model or the store fails.

    Raises GatewayError, RuntimeError, DataDirBusy, and without `force` WouldLose.
    """
    journal = settings.data_dir / data_dir.JOURNAL
    if not journal.is_file():
        raise FileNotFoundError(f"there is no journal {journal}")
    with data_dir.lock(settings.data_dir):
        if not force:
            await _require_no_losses(settings.data_dir / data_dir.VECTORS, journal)
        return await _rebuild(backend, settings, journal)


async def _rebuild(backend: Backend, settings: GatewaySettings, journal: Path) -> Rebuilt:
    folder = settings.data_dir
    new = folder / "rebuilding"
    shutil.rmtree(new, ignore_errors=True)
    async with backend:
        registry = ModelRegistry(backend)
        default = default_profile(registry, settings)
        store = EdgeStore(new, default, registry.models(), settings.cores())
        with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as progress:
            bar = progress.add_task("documents")
            replay = Replay(journal, lambda documents: progress.advance(bar, documents))
            progress.update(bar, total=replay.documents_left)
            for name in replay.collections:
                profile = replay.profiles.get(name) or _read_profile(folder / data_dir.VECTORS / name) or default
                source = find_source(registry.models(), profile.embedding_model, profile.sparse_model)
                await store.put(name, profile.with_source(source))
            # Replay has the methods of a queue that work off jobs, and no other.
            queue, flush_every_s = cast(JobQueue, replay), settings.flush_every_s
            worker = IngestWorker(registry, store, queue, default, flush_every_s, max_errors=1)
            await _drain(worker, replay)
        replay.close()
        count = store.count()
        await store.close()
    # From here on the new store is complete, and a start puts it in place.
    move(new, folder / data_dir.REBUILT)
    kept = data_dir.replace_store(folder)
    return Rebuilt(count, [f"{error.document_id}: {error.message}" for error in replay.errors], kept)


async def _drain(worker: IngestWorker, replay: Replay) -> None:
    """Process the whole replay. Raises RuntimeError if no document was processed within PATIENCE_S."""
    left, progress_s = replay.documents_left, time.monotonic()
    while left:
        await worker.drain()
        if replay.documents_left < left:
            left, progress_s = replay.documents_left, time.monotonic()
        elif time.monotonic() - progress_s > PATIENCE_S:
            raise RuntimeError(replay.error)
        else:
            await asyncio.sleep(RETRY_S)


def _read_profile(path: Path) -> Profile | None:
    """Return the profile in the folder of a collection, None if it cannot be read."""
    try:
        return read_profile(path)
    except (CollectionDamaged, ValueError):
        return None


async def _require_no_losses(vectors: Path, journal: Path) -> None:
    """Raise WouldLose if the store in the folder `vectors` has documents or collections that `journal` does not."""
    try:
        known = KnownDocuments(journal)
    except sqlite3.Error as error:
        raise RuntimeError(f"{journal} cannot be read: {error}") from None
    lines = [line for path in _collection_folders(vectors) if (line := await _describe_loss(path, known))]
    known.close()
    if lines:
        raise WouldLose(
            "the journal does not know these, and the new store would be without them:\n" + "\n".join(lines) + "\n"
            "They came by migrate-store or bulk-load. Add --force to leave them out; the old store is kept."
        )


def _collection_folders(vectors: Path) -> list[Path]:
    """Return the folders of the collections, ordered by name."""
    folders = sorted(vectors.iterdir()) if vectors.is_dir() else []
    return [path for path in folders if is_collection(path)]


async def _describe_loss(path: Path, known: KnownDocuments) -> str | None:
    """Return the line about a collection, None if the journal knows all of it."""
    is_known = known.has_collection(path.name) or path.name == DEFAULT
    try:
        ids = await _read_document_ids(path)
    except (CollectionDamaged, ValueError):
        # The documents cannot be compared, and their number can.
        count, known_count = read_count(path) or 0, known.count(path.name)
        if is_known and known_count >= count:
            return None
        return f"  {path.name}: damaged, had {count} documents, and the journal knows {known_count}"
    lost = sum(not known.has_document(path.name, document_id) for document_id in ids)
    if is_known and not lost:
        return None
    return f"  {path.name}: {lost} document{'' if lost == 1 else 's'}"


async def _read_document_ids(path: Path) -> set[str]:
    collection = load(path, read_profile(path), threads=1)
    try:
        return await collection.document_ids()
    finally:
        collection.close()


if __name__ == "__main__":
    main()
