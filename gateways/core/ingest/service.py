"""What clients may do with documents, jobs and collections, each as far as the key of the request allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from gateways.core import tenants
from gateways.core.errors import NotFound
from gateways.core.ingest.worker import IngestWorker
from gateways.core.jobs.base import Document, Job, JobQueue, Status
from gateways.core.jobs.maintenance import JournalMaintenance
from gateways.core.observability import metrics
from gateways.core.profiles import Chunking, Profile
from gateways.core.stores.base import Collection, VectorStore, require_room

# Jobs read at once, to find those of the collections of a limited key.
_PAGE = 100


class Deletion(NamedTuple):
    """What a document that is deleted was: stored, waiting in an unfinished job, or both."""

    stored: bool
    queued: bool


class IngestService:
    """
    The documents, jobs and collections of one gateway.

    A call about a collection that the key of the request may not use raises Forbidden. Jobs of such collections are
    not there for it.
    """

    def __init__(
        self,
        store: VectorStore,
        jobs: JobQueue,
        worker: IngestWorker,
        maintenance: JournalMaintenance,
        check_space: Callable[[], None],
        find_collection: Callable[[str], Awaitable[Collection]],
        max_collections: int | None = None,
    ) -> None:
        """`check_space` raises NoSpace if the disk is almost full, `find_collection` NotFound with what helps."""
        self._max_collections = max_collections
        self._store = store
        self._jobs = jobs
        self._worker = worker
        self._maintenance = maintenance
        self._check_space = check_space
        self._find_collection = find_collection

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """
        Queue documents under an idempotency `key`. They are on disk when this returns.

        Raises Conflict, NoSpace, CollectionDamaged.
        """
        tenants.require(collection)
        self._check_space()
        self._maintenance.check_budget()
        self._require_intact(collection)
        require_room(self._store, collection, self._max_collections)
        job = await self._jobs.submit(collection, documents, tenants.private(key) if key else None, chunk)
        metrics.jobs_accepted.inc()
        self._worker.wake()
        return job

    async def job(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        job = await self._jobs.status(job_id)
        return job if job and tenants.may_use(job.collection) else None

    async def recent(self, limit: int, status: Status | None = None, after: str | None = None) -> list[Job]:
        """Return the newest jobs first, of one status or of all, and those before the job `after` only."""
        if not tenants.is_limited():
            return await self._jobs.recent(limit, status, after)
        visible: list[Job] = []
        while len(visible) < limit and (page := await self._jobs.recent(_PAGE, status, after)):
            visible += [job for job in page if tenants.may_use(job.collection)]
            after = page[-1].id
        return visible[:limit]

    async def cancel(self, job_id: str) -> Job | None:
        """Cancel a job and return it with its progress; None if unknown. Raises Conflict if it is finished."""
        if await self.job(job_id) is None:
            return None
        async with self._worker.pause_writes():
            return await self._jobs.cancel(job_id)

    async def retry(self, job_id: str) -> Job | None:
        """Queue a failed job again and return it; None if unknown. Raises Conflict, NoSpace."""
        if await self.job(job_id) is None:
            return None
        self._check_space()
        job = await self._jobs.retry(job_id)
        self._worker.wake()
        return job

    async def delete_document(self, collection: str, document_id: str) -> Deletion:
        """
        Delete a document, durably: from the collection, and from every job that was accepted before.

        Raises NotFound if there is neither the collection nor a job with the document.
        """
        tenants.require(collection)
        self._require_intact(collection)
        queued = await self._jobs.queued(collection, document_id)
        if not queued and not await (await self._find_collection(collection)).document(document_id):
            return Deletion(stored=False, queued=False)
        stored = await self._worker.delete_document(collection, document_id)
        metrics.documents.set(self._store.count())
        return Deletion(stored, queued)

    async def put_collection(self, name: str, profile: Profile) -> bool:
        """Create a collection, or change its profile, durably. Returns True if it was created. Raises Conflict."""
        tenants.require(name)
        return await self._worker.put_collection(name, profile)

    async def delete_collection(self, name: str) -> bool:
        """Cancel the jobs of a collection and delete it, durably. Returns False if there is none of this name."""
        tenants.require(name)
        return await self._worker.delete_collection(name)

    def _require_intact(self, name: str) -> None:
        """Raise CollectionDamaged if the files of a collection are damaged."""
        with suppress(NotFound):
            self._store.collection(name)
