"""Ingest: documents of a job are cut, embedded, written to the store, made durable, and only then counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from gateways.core import memory, metrics
from gateways.core.encoders import Encoders
from gateways.core.errors import BackendUnavailable, GatewayError, NoSpace, Overloaded, UpstreamFailed
from gateways.core.jobs.base import Change, Document, DocumentError, Job, JobLost, JobQueue
from gateways.core.passages import cut
from gateways.core.profiles import Profile
from gateways.core.stores.base import Collection, CollectionGone, Passage, Vectors, VectorStore
from gateways.core.vectors import normalize

log = logging.getLogger(__name__)
T = TypeVar("T")

# Flushed once: enough that a flush (tens of ms) does not show, few enough to show progress.
DOCUMENTS_PER_STEP, CHARACTERS_PER_STEP = 64, 250_000
# Embedded and written together: enough to fill passes, few enough that the vectors of their tokens are a few
# megabytes. What more would need at once, a process would keep for long after: its heap has holes then.
CHARACTERS_AT_ONCE = 16_000
PASSAGES_AT_ONCE = 256
# With nothing to ingest for so long, memory is given back; what the store maps, while jobs keep coming as well.
REST_AFTER_S, REST_EVERY_S = 5.0, 10.0
RETRY_FIRST_S, RETRY_MOST_S = 0.25, 5.0
_PASSING = (BackendUnavailable, NoSpace, Overloaded, UpstreamFailed)


class JobDropped(Exception):
    """The job was cancelled while a step of it was being embedded."""


class IngestWorker:
    """
    Work off the job queue, one job at a time, from where a killed process left it.

    A step that was written but not yet counted is written again after a restart, under the same passage ids:
    nothing is lost and nothing is there twice.
    """

    def __init__(
        self,
        encoders: Encoders,
        store: VectorStore,
        jobs: JobQueue,
        default: Profile,
        check_space: Callable[[], None] = lambda: None,
    ) -> None:
        """Call `check_space` before each step; while that raises NoSpace, wait."""
        self._check_space = check_space
        self._encoders = encoders
        self._store = store
        self._jobs = jobs
        self._default = default
        self._submitted = asyncio.Event()
        self._opening = asyncio.Lock()
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

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._submitted.clear()
            if await _patiently(self.work_off) and not await self._submitted_within(REST_AFTER_S):
                # What an ingest needed for a while, a small process should not keep; giving it back between two jobs
                # would hold up queries for tens of milliseconds.
                await asyncio.to_thread(memory.give_back)
                await self._store.rest()
            await self._submitted_within(self._jobs.poll_s)

    async def _submitted_within(self, seconds: float | None) -> bool:
        """Wait for a job to be submitted here, so long at most; say whether one was."""
        try:
            async with asyncio.timeout(seconds):
                return await self._submitted.wait()
        except TimeoutError:
            return False

    async def work_off(self) -> bool:
        """Work until no job is left, and say whether there was one."""
        worked = False
        while job := await self._jobs.claim():
            await self._work(job)
            worked = True
            if time.monotonic() - self._rested_s > REST_EVERY_S:
                self._rested_s = time.monotonic()
                await self._store.rest()
        return worked

    async def _work(self, job: Job) -> None:
        try:
            await self._steps(job)
        except JobDropped:
            log.info("ingest job %s was cancelled", job.id)
            metrics.jobs_finished.labels("cancelled").inc()
        except JobLost:
            log.warning("ingest job %s was taken over by another gateway", job.id)
        except _PASSING:
            raise  # the store or the journal is away: nothing is wrong with the job, which goes on where it was
        except Exception as error:
            log.exception("ingest job %s failed", job.id)
            await self._jobs.fail(job.id, f"{type(error).__name__}: {error}")
            metrics.jobs_finished.labels("failed").inc()
        else:
            await self._jobs.complete(job.id)
            metrics.jobs_finished.labels("completed").inc()

    async def _steps(self, job: Job) -> None:
        processed = job.processed_documents
        while ahead := await self._jobs.documents(job.id, processed, DOCUMENTS_PER_STEP):
            documents = _first_of(ahead, CHARACTERS_PER_STEP)
            try:
                await _patiently(self._room)
                collection = await self._open(job)
                errors = await self._step(job, collection, documents, processed)
                await collection.flush()
            except CollectionGone:
                continue  # it was made anew for other models, or the job was cancelled with it: `_open` knows
            processed += len(documents)
            await self._jobs.advance(job.id, processed, errors)
            metrics.ingested.inc(len(documents))
            metrics.documents.set(self._store.count())

    async def _room(self) -> None:
        self._check_space()

    async def _open(self, job: Job) -> Collection:
        """Return the collection of a job that is still wanted, made when there was none."""
        async with self._opening:
            await self._check_wanted(job)
            return await self._store.ensure(job.collection, self._default)

    async def _check_wanted(self, job: Job) -> None:
        now = await self._jobs.status(job.id)
        if now is None or now.status == "cancelled":
            raise JobDropped

    async def _step(
        self, job: Job, collection: Collection, documents: Sequence[Document], first: int
    ) -> list[DocumentError]:
        """Write the documents, some at a time, and list those that could not be."""
        errors: list[DocumentError] = []
        done = 0
        while some := _first_of(documents[done:], CHARACTERS_AT_ONCE):
            errors += await self._write_or_list(job, collection, some, first + done)
            done += len(some)
        return errors

    async def _write_or_list(
        self, job: Job, collection: Collection, documents: Sequence[Document], first: int
    ) -> list[DocumentError]:
        """Write the documents; where one breaks the model, all others are still written and it is listed."""
        try:
            await self._write(job, collection, documents)
        except (*_PASSING, CollectionGone):
            raise
        except GatewayError as error:
            if len(documents) == 1:
                return [DocumentError(first, documents[0].id, error.message)]
            half = len(documents) // 2
            return [
                *await self._write_or_list(job, collection, documents[:half], first),
                *await self._write_or_list(job, collection, documents[half:], first + half),
            ]
        return []

    async def _write(self, job: Job, collection: Collection, documents: Sequence[Document]) -> None:
        passages = await self._passages(job, collection.profile, documents)
        vectors = await self._vectors(collection, [passage.text for passage in passages])
        await self._check_wanted(job)
        await collection.replace(passages, vectors)

    async def _passages(self, job: Job, profile: Profile, documents: Sequence[Document]) -> list[Passage]:
        chunk = job.chunk or profile.chunk
        if chunk is None:
            return [passage for document in documents for passage in cut(document, ())]
        model = self._encoders.model(profile.embedding_model)
        texts = [document.text for document in documents]
        spans = await _patiently(lambda: self._encoders.chunk(model, texts, chunk.max_tokens, chunk.overlap))
        return [passage for at, document in enumerate(documents) for passage in cut(document, spans[at])]

    async def _vectors(self, collection: Collection, texts: Sequence[str]) -> list[Vectors]:
        """Return the vectors of n texts; what the store holds already, and what is there twice, runs once."""
        known = dict(await collection.known(texts))
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        for at in range(0, len(missing), PASSAGES_AT_ONCE):
            some = missing[at : at + PASSAGES_AT_ONCE]
            known.update(zip(some, await self._embed(collection.profile, some), strict=True))
        return [known[text] for text in texts]

    async def _embed(self, profile: Profile, texts: Sequence[str]) -> list[Vectors]:
        """Embed in the bulk lane."""
        dense = self._encoders.model(profile.embedding_model)
        sparse = self._encoders.model(profile.sparse_model, "sparse")
        prompted = [dict(dense.prompts)["document"] + text for text in texts]
        embedded = await _patiently(
            lambda: self._encoders.embed(dense, prompted, lane="bulk", tokens=profile.late_interaction)
        )
        weighed = await _patiently(lambda: self._encoders.embed_sparse(sparse, texts, lane="bulk"))
        tokens = embedded.tokens.by_text() if embedded.tokens else [None] * len(texts)
        return [Vectors(*its) for its in zip(normalize(embedded.vectors), weighed.rows, tokens, strict=True)]


async def _patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call; while the model or its upstream is away, wait for it: the job is acknowledged."""
    wait_s = RETRY_FIRST_S
    while True:
        try:
            return await call()
        except _PASSING as error:
            log.warning("ingest waits %.2f s: %s", wait_s, error)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MOST_S)


def _first_of(documents: Sequence[Document], characters: int) -> Sequence[Document]:
    """Return the first of the documents: as many as have so many characters, one at least."""
    sizes = accumulate(len(document.text) for document in documents)
    fitting = sum(size <= characters for size in sizes)
    return documents[: max(fitting, 1)]
