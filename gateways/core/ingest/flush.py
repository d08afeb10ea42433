"""
Group commit of ingest: the documents of several jobs share one flush, and are acknowledged only after it.

                write()               flush()               journal
    embedded ------------> written ------------> flushed ------------> acknowledged
                            ^   |                   |
                            |   | store away        | journal away
                            +---+-------------------+
                        kept, and flushed again later

    written --- CollectionGone ---> dropped       The jobs of a deleted collection are cancelled with it.
    written --- JobLost ----------> dropped       Another process has taken the job over.
    written --- any other error --> dropped       The worker is told. The documents are written again.

A process that is killed before `acknowledged` writes the same documents again after its restart.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateways.core.errors import BackendUnavailable
from gateways.core.ingest.retry import TRANSIENT
from gateways.core.jobs.base import Document, DocumentError, Job, JobLost, JobQueue
from gateways.core.observability import metrics
from gateways.core.stores.base import Collection, CollectionGone, Passage, Vectors, VectorStore

log = logging.getLogger(__name__)


@dataclass(slots=True)
class JobProgress:
    """
    Progress of a job: its first `processed` documents are written, its first `acknowledged` ones are durable.

    `errors` are the documents that were skipped since the last acknowledgement. Documents before the position
    `isolated` go to the model one at a time. `lost` is True once a flush of its documents failed.
    """

    job: Job
    processed: int
    acknowledged: int
    collection: Collection | None = None
    errors: list[DocumentError] = field(default_factory=list)
    complete: bool = False
    isolated: int = 0
    lost: bool = False


class GroupCommit:
    """The documents that are written and not acknowledged yet, by job."""

    def __init__(self, store: VectorStore, jobs: JobQueue) -> None:
        self._store = store
        self._jobs = jobs
        # Held while documents are written, flushed or acknowledged.
        self._lock = asyncio.Lock()
        self._pending: dict[str, JobProgress] = {}
        self._failures: list[tuple[Job, Exception]] = []
        self.flushed_s = -math.inf

    @property
    def pending_jobs(self) -> list[str]:
        """Return the ids of jobs with progress that is not acknowledged."""
        return [*self._pending]

    @property
    def written_jobs(self) -> list[str]:
        """Return the ids of pending jobs whose last document is written. Only after them may a later job begin."""
        return [job_id for job_id, progress in self._pending.items() if progress.complete]

    async def resume(self, job: Job) -> JobProgress:
        """Return the progress of a job that was claimed: its pending progress, unless another process went on."""
        async with self._lock:
            # A deletion may have flushed since the claim: what it acknowledged must not be written again.
            current = await self._jobs.status(job.id) or job
            progress = self._pending.get(job.id)
            if progress and progress.acknowledged == current.processed_documents:
                return progress
            self._pending.pop(job.id, None)
            done, isolated = current.processed_documents, current.isolated
            return JobProgress(current, done, done, isolated=isolated)

    async def write(
        self,
        progress: JobProgress,
        collection: Collection,
        passages: Sequence[Passage],
        vectors: Sequence[Vectors],
        documents: int,
    ) -> None:
        """
        Write all passages of the next `documents` documents of a job, but those of documents deleted meanwhile.

        Raises JobCancelled, JobLost, CollectionGone, and BackendUnavailable after a flush that failed.
        """
        document_ids = list({passage.document_id for passage in passages})
        async with self._lock:
            _require_kept(progress)
            async with self._jobs.write_lease(progress.job, document_ids) as deleted:
                kept = [number for number, passage in enumerate(passages) if passage.document_id not in deleted]
                if kept:
                    await collection.replace(
                        [passages[number] for number in kept], [vectors[number] for number in kept]
                    )
            self._add_progress(progress, documents)

    async def skip(self, progress: JobProgress, document: Document, message: str) -> None:
        """Leave out the next document of a job, and list it with the reason."""
        async with self._lock:
            _require_kept(progress)
            progress.errors.append(DocumentError(progress.processed, document.id, message))
            self._add_progress(progress, 1)

    async def isolate(self, progress: JobProgress, documents: int) -> None:
        """Let the next documents of a job go to the model one at a time, after a restart of this process too."""
        progress.isolated = max(progress.isolated, progress.processed + documents)
        await self._jobs.isolate(progress.job.id, progress.isolated)

    def drop(self, job: Job) -> None:
        """Forget the progress of a job that another process has taken over."""
        self._pending.pop(job.id, None)

    async def complete(self, progress: JobProgress) -> None:
        """Complete a job, all of whose documents are written, after the next flush."""
        async with self._lock:
            _require_kept(progress)
            progress.complete = True
            # Documents that were deleted before their job was tried again may be erased from the journal.
            self._add_progress(progress, max(0, progress.job.total_documents - progress.processed))

    async def flush(self) -> None:
        """
        Flush every collection that was written to, then acknowledge its documents.

        A transient error of the store or the journal is raised; what is not acknowledged stays pending.
        """
        async with self._lock:
            await self._flush_pending()

    def take_failures(self) -> list[tuple[Job, Exception]]:
        """Return the jobs whose collection could not be flushed since the last call, with the errors."""
        failures, self._failures = self._failures, []
        return failures

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Flush, and let no document be written meanwhile: the journal has every written document of before."""
        async with self._lock:
            await self._flush_pending()
            yield

    def _add_progress(self, progress: JobProgress, documents: int) -> None:
        progress.processed += documents
        self._pending[progress.job.id] = progress

    async def _flush_pending(self) -> None:
        if not self._pending:
            return
        pending = [*self._pending.values()]
        collections = {progress.job.collection: progress.collection for progress in pending if progress.collection}
        errors = {name: await _flush_collection(collection) for name, collection in collections.items()}
        self.flushed_s = time.monotonic()
        for progress in pending:
            await self._finish_flush(progress, errors.get(progress.job.collection))
            # The worker may have dropped the job meanwhile.
            self._pending.pop(progress.job.id, None)
        metrics.documents.set(self._store.count())

    async def _finish_flush(self, progress: JobProgress, error: Exception | None) -> None:
        """Acknowledge the documents of a job; `error` is why its collection could not be flushed."""
        if isinstance(error, CollectionGone):
            return
        if error:
            # After a failed fsync the next one may succeed without the data: only a new write is safe.
            progress.lost = True
            self._failures.append((progress.job, error))
            return
        try:
            await self._acknowledge_documents(progress)
        except JobLost:
            log.warning("ingest job %s was taken over by another gateway", progress.job.id)

    async def _acknowledge_documents(self, progress: JobProgress) -> None:
        documents = progress.processed - progress.acknowledged
        if documents:
            await self._jobs.advance(progress.job.id, progress.processed, progress.errors)
        metrics.ingested.inc(documents)
        progress.acknowledged, progress.errors = progress.processed, []
        if progress.complete:
            await self._jobs.complete(progress.job.id)
            metrics.jobs_finished.labels("completed").inc()


def _require_kept(progress: JobProgress) -> None:
    """Raise BackendUnavailable if documents of a job must be written again before the next one."""
    if progress.lost:
        raise BackendUnavailable("the documents of before could not be flushed, and are written again")


async def _flush_collection(collection: Collection) -> Exception | None:
    """Return None once the collection is flushed, otherwise the error. Raises transient errors."""
    try:
        await collection.flush()
    except TRANSIENT:
        raise
    except CollectionGone as error:
        return error
    except Exception as error:
        log.exception("collection %s cannot be flushed", collection.name)
        return error
    return None
