"""One gateway: a backend, a store, a job queue and the worker between them."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from gateways.core import data_dir, metrics
from gateways.core.backend import Backend
from gateways.core.encoders import Encoders, starting
from gateways.core.errors import BackendUnavailable
from gateways.core.ingest import IngestWorker
from gateways.core.jobs.base import Change, Document, Job, JobQueue
from gateways.core.pipeline import Found, Question, search
from gateways.core.profiles import Chunking, Profile, check_chunking
from gateways.core.settings import Settings
from gateways.core.stores.base import Collection, VectorStore

log = logging.getLogger(__name__)
OFF_LOOP_THREADS = 2


class EngineAbsent(Exception):
    """What a chosen store or job queue needs is not installed."""


class Gateway(Encoders):
    """Everything behind the routes. `start` makes it ready; until then whatever needs the model is a 503."""

    def __init__(self, name: str, backend: Backend, settings: Settings) -> None:
        super().__init__(backend, settings.embed_cache_mb * 1_000_000)
        self.name = name
        self.settings = settings
        self._store: VectorStore | None = None
        self._jobs: JobQueue | None = None

    async def start(self) -> None:
        """
        Load the model, open DATA_DIR, take up unfinished jobs.

        Raises DataDirBusy, DataDirUnusable, EngineAbsent, StoreMismatch.
        """
        # Store and journal calls take turns anyway; each further thread would keep a malloc arena of its own.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(OFF_LOOP_THREADS, "off-loop"))
        self._lock = data_dir.lock(self.settings.data_dir)
        await self.backend.__aenter__()
        settings, default = self.settings, default_profile(self, self.settings)
        store, jobs = _engine("stores", settings.store), _engine("jobs", settings.jobs)
        self._store = await store.open_store(settings, default, self.models())
        self._jobs = await jobs.open_jobs(settings)
        metrics.documents.set(self.store.count())
        metrics.data_bytes.set_function(lambda: data_dir.size_bytes(settings.data_dir))
        self._worker = IngestWorker(
            self, self.store, self.jobs, default, self.check_space, self.settings.flush_every_s
        )
        self._working = asyncio.create_task(self._worker.run())

    async def stop(self) -> None:
        """Stop the worker between two writes, close what is open, unload the model."""
        if self._store and self._jobs:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
            await self._worker.stop()
            await self._store.close()
            await self._jobs.close()
        await self.backend.__aexit__(None, None, None)

    @property
    def store(self) -> VectorStore:
        """Return the store; BackendUnavailable while starting."""
        if self._store is None:
            raise starting()
        return self._store

    @property
    def jobs(self) -> JobQueue:
        """Return the job queue; BackendUnavailable while starting."""
        if self._jobs is None:
            raise starting()
        return self._jobs

    def ready(self) -> bool:
        """Say whether a request sent now would be served."""
        return self._jobs is not None and self.backend.ready()

    def failure(self) -> str | None:
        """Return what is broken for good, None while nothing is."""
        if self._jobs is not None and self._working.done():
            return "the ingest worker has died"
        return self.backend.failure()

    async def health(self) -> dict[str, object]:
        """Return what `/healthz` tells besides the status; the documents as last known where the store is away."""
        if self._store:
            with suppress(BackendUnavailable):
                await self._store.refresh(counts=True)
        count = self._store.count() if self._store else 0
        return {"model_loaded": bool(self.backend.models()), "document_count": count}

    async def collections(self) -> Sequence[Collection]:
        """Return all collections, ordered by name."""
        await self.store.refresh(counts=True)
        return self.store.collections()

    async def collection(self, name: str, *, counts: bool = False) -> Collection:
        """Return a collection, with `counts` as many documents as it holds now; NotFound lists those there are."""
        await self.store.refresh(counts=counts)
        return self.store.collection(name)

    async def profile(self, collection: str) -> Profile:
        """Return how a collection is searched, or would be if it were made now with nothing chosen."""
        await self.store.refresh()
        known = {its.name: its.profile for its in self.store.collections()}
        return known.get(collection) or default_profile(self, self.settings)

    async def put(self, collection: str, profile: Profile) -> bool:
        """Make a collection, or give one another profile, durably; say whether it was made. Raises Conflict."""
        made = await self.store.put(collection, profile)
        await self.jobs.record(Change("put_collection", collection, profile=dataclasses.asdict(profile)))
        return made

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """
        Queue documents; they are on disk when this returns.

        Raises InvalidRequest for a `chunk` that cannot be made, Conflict, NoSpace.
        """
        self.check_space()
        if chunk:
            check_chunking(chunk, self.model((await self.profile(collection)).embedding_model))
        job = await self.jobs.submit(collection, documents, key, chunk)
        metrics.jobs_accepted.inc()
        self._worker.wake()
        return job

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel a job, and tell how far it came; None for an unknown one, Conflict for a finished one."""
        jobs = self.jobs
        async with self._worker.all_counted():
            return await jobs.cancel(job_id)

    def check_space(self) -> None:
        """Raise NoSpace where DATA_DIR's disk is all but full."""
        data_dir.check_space(self.settings.data_dir, self.settings.min_free_mb * 1_000_000)

    async def delete(self, collection: str, document_id: str) -> bool:
        """Forget a document, durably; say whether there was one."""
        held = await self.collection(collection)
        if not await held.document(document_id):
            return False
        async with self._worker.all_counted():
            # First: what is ingested from here on is not what was deleted.
            await self.jobs.record(Change("delete_document", collection, document_id))
            deleted = await held.delete(document_id)
        metrics.documents.set(self.store.count())
        return deleted

    async def forget(self, collection: str) -> bool:
        """Forget a collection with its documents and unfinished jobs, durably; say whether there was one."""
        forgotten = await self._worker.forget(collection)
        metrics.documents.set(self.store.count())
        return forgotten

    async def search(self, asked: Question) -> Found:
        """Return the passages that answer best."""
        await self.store.refresh()
        return await search(self, self.store, asked)


def _engine(kind: str, name: str) -> Any:
    """Return the module of a store or a job queue."""
    try:
        return importlib.import_module(f"gateways.core.{kind}.{name}")
    except ModuleNotFoundError as absent:
        needed = f"{name!r} needs the package {absent.name}, which is not installed"
        extra = "pgvector" if name == "postgres" else name
        raise EngineAbsent(f"{needed}: pip install '.[{extra}]' beside the gateway's own extra") from None


def default_profile(encoders: Encoders, settings: Settings) -> Profile:
    """Return how a collection is searched when nobody said how."""
    dense, sparse = encoders.model(None), encoders.model(None, "sparse")
    late = settings.late_interaction and encoders.interaction(dense.id) is not None
    return Profile(dense.id, dense.dimensions, sparse.id, late_interaction=late)
