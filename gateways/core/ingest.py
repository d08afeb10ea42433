"""Ingest: documents of jobs are cut, embedded, written to the store, made durable together, and only then counted."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate

from gateways.core import metrics
from gateways.core.encoders import Encoders
from gateways.core.errors import GatewayError
from gateways.core.indexing import PASSING, Indexer, patiently
from gateways.core.jobs.base import Change, Document, DocumentError, Job, JobLost, JobQueue
from gateways.core.profiles import Profile
from gateways.core.stores.base import Collection, CollectionGone, VectorStore

log = logging.getLogger(__name__)

# Read from the journal at once.
DOCUMENTS_AHEAD = 64
# Embedded and written together: enough to fill passes, few enough that the vectors of their tokens are a few
# megabytes. What more would need at once, a process would keep for long after: its heap has holes then.
CHARACTERS_AT_ONCE = 16_000
# A flush holds queries up for tens of milliseconds, so what is written meanwhile shares one.
FLUSH_EVERY_S = 2.0
# With nothing to ingest for so long, what the store maps is given back; so often while jobs keep coming.
REST_AFTER_S, REST_EVERY_S = 5.0, 10.0


class JobDropped(Exception):
    """The job was cancelled while documents of it were being embedded."""


@dataclass(slots=True)
class Part:
    """What was written of a job: `processed` documents, of which `counted` are durable; `errors` are new ones."""

    job: Job
    processed: int
    counted: int
    collection: Collection | None = None
    errors: list[DocumentError] = field(default_factory=list)
    ended: bool = False


class IngestWorker:
    """
    Work off the job queue, the oldest job first, from where a killed process left it.

    What was written but not yet counted is written again after a restart, under the same passage ids: nothing is lost
    and nothing is there twice.
    """

    def __init__(
        self,
        encoders: Encoders,
        store: VectorStore,
        jobs: JobQueue,
        default: Profile,
        check_space: Callable[[], None] = lambda: None,
        flush_every_s: float = FLUSH_EVERY_S,
    ) -> None:
        """Call `check_space` before documents are embedded; while that raises NoSpace, wait."""
        self._check_space = check_space
        self._indexer = Indexer(encoders, self._settle)
        self._store = store
        self._jobs = jobs
        self._default = default
        self._flush_every_s = flush_every_s
        self._submitted = asyncio.Event()
        self._opening = asyncio.Lock()
        # Held while something is written, flushed or counted.
        self._writing = asyncio.Lock()
        self._uncounted: dict[str, Part] = {}
        self._flushed_s = self._worked_s = -math.inf
        self._rested_s = time.monotonic()

    def wake(self) -> None:
        """Say that a job was submitted."""
        self._submitted.set()

    async def forget(self, collection: str) -> bool:
        """Cancel a collection's jobs and forget all that is in it, durably; say whether there was one."""
        async with self._opening:
            await self._store.refresh()
            if collection not in {known.name for known in self._store.collections()}:
                return False
            await self._jobs.cancel_all(collection)
            await self._jobs.record(Change("delete_collection", collection))
            return await self._store.delete(collection)

    @asynccontextmanager
    async def all_counted(self) -> AsyncIterator[None]:
        """For a change of what is stored: the journal tells which documents came before it, and none is written."""
        async with self._writing:
            await self._count_all()
            yield

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._submitted.clear()
            await patiently(self.work_off)
            tired = self._worked_s > self._rested_s
            if tired and time.monotonic() - self._worked_s >= REST_AFTER_S:
                await self._rest()
            await self._submitted_within(self._jobs.poll_s or (REST_AFTER_S if tired else None))
            # Jobs that come one after the other are written together.
            await asyncio.sleep(max(0.0, self._flushed_s + self._flush_every_s - time.monotonic()))

    async def stop(self) -> None:
        """Count what is written; where that cannot be, it is written again after the next start."""
        with suppress(*PASSING):
            await self._settle()

    async def work_off(self) -> None:
        """Work until no job is left."""
        while await self._turn():
            self._worked_s = time.monotonic()
            if self._worked_s - self._rested_s > REST_EVERY_S:
                await self._rest()

    async def _submitted_within(self, seconds: float | None) -> None:
        """Wait for a job to be submitted here, so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._submitted.wait()

    async def _rest(self) -> None:
        await self._store.rest()
        self._rested_s = time.monotonic()

    async def _turn(self) -> bool:
        """Write documents of the oldest jobs for as long as they may share a flush; say whether there were any."""
        until_s = time.monotonic() + self._flush_every_s
        worked = bool(self._uncounted)  # what could not be counted because the store or the journal was away
        while job := await self._jobs.claim([*self._uncounted]):
            worked = True
            await self._work(job, until_s)
            if time.monotonic() >= until_s:
                break
        await self._settle()
        return worked

    async def _work(self, job: Job, until_s: float) -> None:
        try:
            await self._write_until(job, until_s)
        except JobDropped:
            log.info("ingest job %s was cancelled", job.id)
            metrics.jobs_finished.labels("cancelled").inc()
        except PASSING:
            raise  # the store or the journal is away: nothing is wrong with the job, which goes on where it was
        except Exception as error:
            log.exception("ingest job %s failed", job.id)
            await self._settle()
            await self._jobs.fail(job.id, f"{type(error).__name__}: {error}")
            metrics.jobs_finished.labels("failed").inc()

    async def _write_until(self, job: Job, until_s: float) -> None:
        """Write a job's documents, some at a time, until the last one or until it is time to flush."""
        part = Part(job, job.processed_documents, job.processed_documents)
        ahead: Sequence[Document] = ()
        while ahead := ahead or await self._jobs.documents(job.id, part.processed, DOCUMENTS_AHEAD):
            some = _first_of(ahead, CHARACTERS_AT_ONCE)
            await patiently(self._room, self._settle)
            try:
                await self._write_or_list(part, some)
            except CollectionGone:
                ahead = ()  # it was made anew for other models, or the job was cancelled with it: `_open` knows
                continue
            ahead = ahead[len(some) :]
            if time.monotonic() >= until_s and part.processed < job.total_documents:
                return
        async with self._writing:
            part.ended = True
            self._uncounted[job.id] = part

    async def _room(self) -> None:
        self._check_space()

    async def _write_or_list(self, part: Part, documents: Sequence[Document]) -> None:
        """Write the documents; where one breaks the model, all others are still written and it is listed."""
        try:
            await self._write(part, documents)
        except (*PASSING, CollectionGone):
            raise
        except GatewayError as error:
            if len(documents) > 1:
                half = len(documents) // 2
                await self._write_or_list(part, documents[:half])
                await self._write_or_list(part, documents[half:])
                return
            async with self._writing:
                part.errors.append(DocumentError(part.processed, documents[0].id, error.message))
                self._written(part, 1)

    async def _write(self, part: Part, documents: Sequence[Document]) -> None:
        part.collection = collection = await self._open(part.job)
        passages = await self._indexer.passages(part.job, collection.profile, documents)
        vectors = await self._indexer.vectors(collection, [passage.text for passage in passages])
        async with self._writing:
            await self._check_wanted(part.job)
            await collection.replace(passages, vectors)
            self._written(part, len(documents))

    def _written(self, part: Part, documents: int) -> None:
        part.processed += documents
        self._uncounted[part.job.id] = part

    async def _open(self, job: Job) -> Collection:
        """Return the collection of a job that is still wanted, made when there was none."""
        async with self._opening:
            await self._check_wanted(job)
            return await self._store.ensure(job.collection, self._default)

    async def _check_wanted(self, job: Job) -> None:
        now = await self._jobs.status(job.id)
        if now is None or now.status == "cancelled":
            raise JobDropped

    async def _settle(self) -> None:
        async with self._writing:
            await self._count_all()

    async def _count_all(self) -> None:
        """Make what is written durable, then count it."""
        if not self._uncounted:
            return
        parts = [*self._uncounted.values()]
        written = {part.job.collection: part.collection for part in parts if part.collection}
        errors = {name: await _flush(collection) for name, collection in written.items()}
        self._flushed_s = time.monotonic()
        for part in parts:
            await self._count(part, errors.get(part.job.collection))
            del self._uncounted[part.job.id]
        metrics.documents.set(self._store.count())

    async def _count(self, part: Part, error: Exception | None) -> None:
        job = part.job
        if isinstance(error, CollectionGone):
            return  # its jobs were cancelled with it
        if error:
            await self._jobs.fail(job.id, f"{type(error).__name__}: {error}")
            metrics.jobs_finished.labels("failed").inc()
            return
        try:
            if part.processed > part.counted:
                await self._jobs.advance(job.id, part.processed, part.errors)
        except JobLost:
            log.warning("ingest job %s was taken over by another gateway", job.id)
            return
        metrics.ingested.inc(part.processed - part.counted)
        part.counted, part.errors = part.processed, []
        if part.ended:
            await self._jobs.complete(job.id)
            metrics.jobs_finished.labels("completed").inc()


async def _flush(collection: Collection) -> Exception | None:
    """Make what was written to a collection durable; return why that cannot be, unless it will be later."""
    try:
        await collection.flush()
    except PASSING:
        raise
    except CollectionGone as gone:
        return gone
    except Exception as error:
        log.exception("collection %s cannot be flushed", collection.name)
        return error
    return None


def _first_of(documents: Sequence[Document], characters: int) -> Sequence[Document]:
    """Return the first of the documents: as many as have so many characters, one at least."""
    sizes = accumulate(len(document.text) for document in documents)
    fitting = sum(size <= characters for size in sizes)
    return documents[: max(fitting, 1)]
