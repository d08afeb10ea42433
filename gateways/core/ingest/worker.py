"""The ingest worker: it waits for jobs and processes them, and changes collections in the same order."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from gateways.core.ingest.document_writer import DocumentWriter
from gateways.core.ingest.flush import GroupCommit
from gateways.core.ingest.indexer import Indexer
from gateways.core.ingest.job_collections import JobCollections
from gateways.core.ingest.processor import MAX_ERRORS, JobProcessor
from gateways.core.ingest.retry import TRANSIENT, retry_transient
from gateways.core.jobs.base import JobQueue
from gateways.core.models.registry import ModelRegistry
from gateways.core.observability import metrics
from gateways.core.profiles import Profile
from gateways.core.stores.base import VectorStore

log = logging.getLogger(__name__)

# The store's written pages are released after this idle time, and at this interval while jobs keep coming.
RELEASE_IDLE_S, RELEASE_EVERY_S = 5.0, 10.0


class IngestWorker:
    """
    Processes the job queue, and resumes where a killed process stopped.

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
        max_errors: int = MAX_ERRORS,
        max_collections: int | None = None,
    ) -> None:
        """
        Jobs that come within `flush_every_s` share a flush, which holds queries up for tens of milliseconds.

        `check_space` is called before documents are embedded. While it raises NoSpace, the worker waits. A job fails
        after `max_errors` in a row that are neither transient nor the system's. No job creates a collection beyond
        `max_collections`.
        """
        self._store = store
        self._jobs = jobs
        self._flush_every_s = flush_every_s
        self._collections = JobCollections(store, jobs, default, max_collections)
        self._commit = GroupCommit(store, jobs)
        writer = DocumentWriter(self._collections, Indexer(registry, self._commit.flush), self._commit)
        self._processor = JobProcessor(jobs, writer, self._commit, check_space, max_errors)
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
        deleted = await self._collections.delete(name)
        metrics.documents.set(self._store.count())
        return deleted

    def pause_writes(self) -> AbstractAsyncContextManager[None]:
        """Acknowledge all written documents, and write none until the context ends."""
        return self._commit.exclusive()

    @asynccontextmanager
    async def pause_changes(self) -> AsyncIterator[None]:
        """Acknowledge all written documents. Until the context ends the files of the store do not change."""
        async with self._commit.exclusive(), self._collections.exclusive():
            yield

    async def run(self) -> None:
        """Process jobs until cancelled."""
        while True:
            self._job_submitted.clear()
            await retry_transient(self.drain, self._commit.flush)
            release_due = self._active_s > self._released_s
            if release_due and time.monotonic() - self._active_s >= RELEASE_IDLE_S:
                await self._release_memory()
            await self._wait_for_job(RELEASE_IDLE_S if release_due else None)
            # Jobs that come one after the other share the next flush.
            await asyncio.sleep(max(0.0, self._commit.flushed_s + self._flush_every_s - time.monotonic()))

    async def stop(self) -> None:
        """Flush and acknowledge. If the store or the journal is away, the next start writes the documents again."""
        with suppress(*TRANSIENT):
            await self._commit.flush()

    async def drain(self) -> None:
        """Process jobs until the queue is empty, or its collections wait after an error."""
        while await self._processor.process_jobs(self._flush_every_s):
            self._active_s = time.monotonic()
            if self._active_s - self._released_s > RELEASE_EVERY_S:
                await self._release_memory()
        self._processor.turns.forget()

    async def _wait_for_job(self, release_s: float | None) -> None:
        """Wait until a job is submitted, or something else is due."""
        due = [
            wait_s for wait_s in (release_s, self._jobs.poll_s, self._processor.turns.wait_s) if wait_s is not None
        ]
        timeout_s = min(due, default=None)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._job_submitted.wait()

    async def _release_memory(self) -> None:
        await self._store.release_memory()
        self._released_s = time.monotonic()
