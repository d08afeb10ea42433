"""The ingest worker: it fetches jobs, embeds and writes their documents, and acknowledges them after a flush."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from itertools import accumulate

from gateways.core.ingest.document_writer import DocumentWriter
from gateways.core.ingest.flush import GroupCommit
from gateways.core.ingest.indexer import Indexer
from gateways.core.ingest.job_collections import JobCollections
from gateways.core.ingest.retry import TRANSIENT, retry_transient
from gateways.core.jobs.base import Document, Job, JobCancelled, JobLost, JobQueue
from gateways.core.models.registry import ModelRegistry
from gateways.core.observability import metrics
from gateways.core.profiles import Profile
from gateways.core.stores.base import CollectionGone, VectorStore

log = logging.getLogger(__name__)

# Documents read from the journal in one call.
PREFETCH_DOCUMENTS = 64
# Characters embedded and written together. They fill forward passes, and their token vectors are a few megabytes;
# a larger batch would fragment the heap, and the process would keep that memory.
BATCH_CHARACTERS = 16_000
# The store's written pages are released after this idle time, and at this interval while jobs keep coming.
RELEASE_IDLE_S, RELEASE_EVERY_S = 5.0, 10.0


class IngestWorker:
    """
    Processes the job queue, the oldest job first, and resumes where a killed process stopped.

    Documents that were written and not acknowledged are written again after a restart, under the same passage ids.
    So no document is lost, and none is stored twice.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        store: VectorStore,
        jobs: JobQueue,
        default: Profile,
        flush_every_s: float,
        check_space: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Jobs that come within `flush_every_s` share a flush, which holds queries up for tens of milliseconds.

        `check_space` is called before documents are embedded. While it raises NoSpace, the worker waits.
        """
        self._store = store
        self._jobs = jobs
        self._flush_every_s = flush_every_s
        self._check_space = check_space
        self._collections = JobCollections(store, jobs, default)
        self._commit = GroupCommit(store, jobs)
        self._writer = DocumentWriter(self._collections, Indexer(registry, self._commit.flush), self._commit)
        self._job_submitted = asyncio.Event()
        self._active_s = -math.inf
        self._released_s = time.monotonic()

    def wake(self) -> None:
        """Notify the worker of a new job."""
        self._job_submitted.set()

    async def put_collection(self, name: str, profile: Profile) -> bool:
        """Create a collection, or change its profile, durably. Returns True if it was created. Raises Conflict."""
        return await self._collections.put(name, profile)

    async def delete_document(self, collection: str, document_id: str) -> bool:
        """Delete a document, durably, and let no earlier job write it. Returns False if it is not stored."""
        async with self._commit.exclusive():
            return await self._collections.delete_document(collection, document_id)

    async def delete_collection(self, name: str) -> bool:
        """Cancel the jobs of a collection and delete it, durably. Returns False if there is none of this name."""
        return await self._collections.delete(name)

    def pause_writes(self) -> AbstractAsyncContextManager[None]:
        """Acknowledge all written documents, and write none until the context ends."""
        return self._commit.exclusive()

    async def run(self) -> None:
        """Process jobs until cancelled."""
        while True:
            self._job_submitted.clear()
            await retry_transient(self.drain, self._commit.flush)
            release_due = self._active_s > self._released_s
            if release_due and time.monotonic() - self._active_s >= RELEASE_IDLE_S:
                await self._release_memory()
            await self._wait_for_job(self._jobs.poll_s or (RELEASE_IDLE_S if release_due else None))
            # Jobs that come one after the other share the next flush.
            await asyncio.sleep(max(0.0, self._commit.flushed_s + self._flush_every_s - time.monotonic()))

    async def stop(self) -> None:
        """Flush and acknowledge. If the store or the journal is away, the next start writes the documents again."""
        with suppress(*TRANSIENT):
            await self._commit.flush()

    async def drain(self) -> None:
        """Process jobs until the queue is empty."""
        while await self._fetch_and_process_jobs():
            self._active_s = time.monotonic()
            if self._active_s - self._released_s > RELEASE_EVERY_S:
                await self._release_memory()

    async def _wait_for_job(self, timeout_s: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._job_submitted.wait()

    async def _release_memory(self) -> None:
        await self._store.release_memory()
        self._released_s = time.monotonic()

    async def _fetch_and_process_jobs(self) -> bool:
        """Process the oldest jobs until the next flush is due, then flush. Returns False if the queue was empty."""
        deadline_s = time.monotonic() + self._flush_every_s
        # True if an earlier flush failed because the store or the journal was away.
        active = bool(self._commit.pending_jobs)
        while job := await self._jobs.claim(self._commit.written_jobs):
            active = True
            await self._process_job(job, deadline_s)
            if time.monotonic() >= deadline_s:
                break
        await self._commit.flush()
        return active

    async def _process_job(self, job: Job, deadline_s: float) -> None:
        try:
            await self._process_documents(job, deadline_s)
        except JobCancelled:
            log.info("ingest job %s was cancelled", job.id)
            metrics.jobs_finished.labels("cancelled").inc()
        except JobLost:
            log.warning("ingest job %s was taken over by another gateway", job.id)
            self._commit.drop(job)
        except TRANSIENT:
            raise  # The job is sound, and resumes from its last written document.
        except Exception as error:
            log.exception("ingest job %s failed", job.id)
            await self._commit.flush()
            await self._jobs.fail(job.id, f"{type(error).__name__}: {error}")
            metrics.jobs_finished.labels("failed").inc()

    async def _process_documents(self, job: Job, deadline_s: float) -> None:
        """Write the documents of a job in batches, up to the last one or until the flush is due."""
        progress = await self._commit.resume(job)
        queue: Sequence[Document] = ()
        while queue := queue or await self._jobs.documents(job.id, progress.processed, PREFETCH_DOCUMENTS):
            batch = _first_batch(queue, BATCH_CHARACTERS)
            await retry_transient(self._require_space, self._commit.flush)
            try:
                await self._writer.write(progress, batch)
            except CollectionGone:
                # It was created anew for other models, or deleted with its jobs: opening it again tells which.
                queue = ()
                continue
            queue = queue[len(batch) :]
            if time.monotonic() >= deadline_s and progress.processed < job.total_documents:
                return
        await self._commit.complete(progress)

    async def _require_space(self) -> None:
        self._check_space()


def _first_batch(documents: Sequence[Document], characters: int) -> Sequence[Document]:
    """Return the first documents that together have at most `characters` characters, and at least one document."""
    sizes = accumulate(len(document.text) for document in documents)
    fitting = sum(size <= characters for size in sizes)
    return documents[: max(fitting, 1)]
