"""The application object of a gateway: a backend, a store, a job queue, and the ingest worker between them."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from gateways.core import tenants
from gateways.core.backend import Backend, ModelInfo
from gateways.core.errors import GatewayError, NotFound
from gateways.core.ingest.processor import MAX_ERRORS
from gateways.core.ingest.service import IngestService
from gateways.core.ingest.worker import IngestWorker
from gateways.core.jobs.base import JobQueue, Status
from gateways.core.jobs.maintenance import JournalMaintenance
from gateways.core.models.registry import ModelRegistry, starting
from gateways.core.observability import metrics
from gateways.core.persistence import data_dir
from gateways.core.persistence.size_measurement import measure_size
from gateways.core.process_settings import GatewaySettings
from gateways.core.profiles import Profile
from gateways.core.search.pipeline import SearchResult, search
from gateways.core.search.plan import Question
from gateways.core.settings import StoreSettings
from gateways.core.stores.base import UNKNOWN_COLLECTION, Collection, VectorStore
from gateways.core.stores.filters import Limits
from gateways.core.stores.source_check import check_sources
from gateways.core.vector_source import source_of

log = logging.getLogger(__name__)
OFF_LOOP_THREADS = 2
# Of each status, the newest ones. A collection that was asked for too early was sent just before.
MAX_JOBS_SEARCHED = 100
# How long `/healthz` waits for the store's number of documents. The chart's liveness probe waits 3 s.
HEALTH_WAIT_S = 0.1


class EngineAbsent(Exception):
    """A package that the chosen store or job queue needs is not installed."""


class Gateway(ModelRegistry):
    """Everything behind the routes. Until `start` returns, calls that need the model raise BackendUnavailable."""

    def __init__(self, name: str, backend: Backend, settings: GatewaySettings) -> None:
        allow = settings.allow_vector_mismatch
        super().__init__(backend, settings.embed_cache_mb * 1_000_000, allow_vector_mismatch=allow)
        self.name = name
        self.settings = settings
        self._filter_limits = Limits(settings.max_filter_conditions, settings.max_filter_values)
        self._store: VectorStore | None = None
        self._jobs: JobQueue | None = None
        self._ingest: IngestService | None = None
        self._count_refresh: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """
        Lock DATA_DIR, load the model, open the store and the job queue, and start the ingest worker.

        Raises DataDirBusy, DataDirUnusable, EngineAbsent, StoreMismatch.
        """
        # Store and journal calls are serialized anyway, and each further thread would keep a malloc arena of its own.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(OFF_LOOP_THREADS, "off-loop"))
        self._lock = data_dir.lock(self.settings.data_dir)
        await self.backend.__aenter__()
        settings, default = self.settings, default_profile(self, self.settings)
        store, jobs = _import_engine("stores.{}.store", settings.store), _import_engine("jobs.{}", settings.jobs)
        self._store = await _open_store(store, settings, default, self.models())
        self._jobs = await jobs.open_jobs(settings)
        metrics.documents.set(self.store.count())
        metrics.damaged_collections.set(len(self.store.damaged))
        limits = settings.flush_every_s, self.check_space, MAX_ERRORS, settings.max_collections
        self._worker = IngestWorker(self, self.store, self.jobs, default, *limits)
        self._worker_task = asyncio.create_task(self._worker.run())
        maintenance = JournalMaintenance(self.jobs, settings.journal_budget_bytes())
        work = (maintenance.run(), measure_size(settings.data_dir))
        self._background_tasks = [asyncio.create_task(part) for part in work]
        checks = self.check_space, self.collection, settings.max_collections
        self._ingest = IngestService(self.store, self.jobs, self._worker, maintenance, *checks)

    async def stop(self) -> None:
        """Stop the worker between two writes, close the store and the queue, unload the model."""
        if self._store and self._jobs:
            tasks = [self._worker_task, *self._background_tasks, *filter(None, [self._count_refresh])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._worker.stop()
            await self._store.close()
            await self._jobs.close()
        await self.backend.__aexit__(None, None, None)

    @property
    def store(self) -> VectorStore:
        """Return the store. Raises BackendUnavailable while starting."""
        if self._store is None:
            raise starting()
        return self._store

    @property
    def jobs(self) -> JobQueue:
        """Return the job queue. Raises BackendUnavailable while starting."""
        if self._jobs is None:
            raise starting()
        return self._jobs

    @property
    def worker(self) -> IngestWorker:
        """Return the ingest worker. Raises BackendUnavailable while starting."""
        if self._jobs is None:
            raise starting()
        return self._worker

    @property
    def ingest(self) -> IngestService:
        """Return the service of documents, jobs and collections. Raises BackendUnavailable while starting."""
        if self._ingest is None:
            raise starting()
        return self._ingest

    def ready(self) -> bool:
        """Return whether a request sent now would be served."""
        return self._jobs is not None and self.backend.ready()

    def failure(self) -> str | None:
        """Return the permanent failure of this process, None if there is none."""
        if self._jobs is not None and self._worker_task.done():
            return "the ingest worker has died"
        return (self._jobs and self._jobs.failure()) or self.backend.failure()

    async def health(self) -> dict[str, object]:
        """Return the fields of `/healthz` besides the status. A store that is slow or away reports its last count."""
        if self._store and (self._count_refresh is None or self._count_refresh.done()):
            self._count_refresh = asyncio.create_task(_refresh_counts(self._store))
        if self._count_refresh:
            await asyncio.wait([self._count_refresh], timeout=HEALTH_WAIT_S)
        count = self._store.count() if self._store else 0
        return {"model_loaded": bool(self.backend.models()), "document_count": count} | count_damaged(self._store)

    async def collections(self) -> Sequence[Collection]:
        """Return all collections that the key of the request may use, ordered by name."""
        await self.store.refresh(counts=True)
        return [collection for collection in self.store.collections() if tenants.may_use(collection.name)]

    async def collection(self, name: str, *, counts: bool = False) -> Collection:
        """Return a collection, with `counts` its current number of documents. Raises NotFound, Forbidden."""
        tenants.require(name)
        await self.store.refresh(counts=counts, name=name)
        try:
            return self.store.collection(name)
        except NotFound as error:
            raise await _explain_absence(error, self.jobs, name) from None

    async def profile(self, collection: str) -> Profile:
        """Return the profile of a collection, or the default one if there is no such collection. Raises Forbidden."""
        tenants.require(collection)
        await self.store.refresh()
        profiles = {existing.name: existing.profile for existing in self.store.collections()}
        return profiles.get(collection) or default_profile(self, self.settings)

    def check_space(self) -> None:
        """Raise NoSpace if the disk of DATA_DIR is almost full."""
        data_dir.check_space(self.settings.data_dir, self.settings.min_free_mb * 1_000_000)

    async def search(self, question: Question) -> SearchResult:
        """Return the best passages."""
        await self.collection(question.collection)
        return await search(self, self.store, question, self._filter_limits)


def count_damaged(store: VectorStore | None) -> dict[str, object]:
    """Return the field of the probes about damaged collections, if there are any. Names are not for everybody."""
    damaged = store.damaged if store else {}
    return {"damaged_collections": len(damaged)} if damaged else {}


async def _open_store(
    engine: Any, settings: GatewaySettings, default: Profile, models: Sequence[ModelInfo]
) -> VectorStore:
    """Open the store of a module. Raises StoreMismatch for vectors of other models, or of another source."""
    store: VectorStore = await engine.open_store(settings, default, models)
    try:
        await check_sources(store, models, allow=settings.allow_vector_mismatch)
    except BaseException:
        await store.close()
        raise
    return store


async def _explain_absence(error: NotFound, jobs: JobQueue, collection: str) -> NotFound:
    """Return `error`, or a better one about a collection that an unfinished job is about to make."""
    statuses: tuple[Status, ...] = ("running", "pending")
    for status in statuses:
        for job in await jobs.recent(MAX_JOBS_SEARCHED, status):
            if job.collection == collection:
                message = f"collection {collection!r} is being made by job {job.id} ({job.status}); "
                message += f"ask again when it is completed: GET /v1/jobs/{job.id}"
                return NotFound(message, param="collection", code=UNKNOWN_COLLECTION)
    return error


async def _refresh_counts(store: VectorStore) -> None:
    with suppress(GatewayError):
        await store.refresh(counts=True)


def _import_engine(module: str, name: str) -> Any:
    """Import the module of a store or a job queue. Raises EngineAbsent if its extra is not installed."""
    try:
        return importlib.import_module(f"gateways.core.{module.format(name)}")
    except ModuleNotFoundError as error:
        message = f"{name!r} needs the package {error.name}, which is not installed"
        extra = "pgvector" if name == "postgres" else name
        raise EngineAbsent(f"{message}: pip install '.[{extra}]' beside the gateway's own extra") from None


def default_profile(registry: ModelRegistry, settings: StoreSettings) -> Profile:
    """Return the profile of a collection that is created without one."""
    dense, sparse = registry.model(None), registry.model(None, "sparse")
    late = settings.late_interaction and registry.interaction(dense.id) is not None
    source = source_of(dense, sparse)
    return Profile(dense.id, dense.dimensions, sparse.id, late_interaction=late, vector_source=source)
