"""Ingest: documents of a job are embedded, written to the store, made durable, and only then counted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import numpy as np

from gateways.core import metrics
from gateways.core.backend import F32, Backend, ModelInfo
from gateways.core.errors import BackendUnavailable, GatewayError, Overloaded, UpstreamFailed
from gateways.core.jobs.base import Document, DocumentError, Job, JobQueue
from gateways.core.stores.base import Passage, VectorStore
from gateways.core.vectors import normalize

log = logging.getLogger(__name__)

# Embedded together and flushed once: enough that a flush (tens of ms) does not show, few enough to show progress.
DOCUMENTS_PER_STEP = 64
RETRY_FIRST_S, RETRY_MOST_S = 0.25, 5.0
_PASSING = (BackendUnavailable, Overloaded, UpstreamFailed)


class IngestWorker:
    """
    Work off the job queue, one job at a time, from where a killed process left it.

    A step that was written but not yet counted is written again after a restart, under the same passage ids:
    nothing is lost and nothing is there twice.
    """

    def __init__(self, backend: Backend, store: VectorStore, jobs: JobQueue, model: ModelInfo) -> None:
        self._backend = backend
        self._store = store
        self._jobs = jobs
        self._model = model
        self._prompt = dict(model.prompts)["document"]
        self._submitted = asyncio.Event()

    def wake(self) -> None:
        """Say that a job was submitted."""
        self._submitted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._submitted.clear()
            while job := await self._jobs.claim():
                await self._work(job)
            await self._submitted.wait()

    async def _work(self, job: Job) -> None:
        try:
            await self._steps(job)
        except Exception as error:
            log.exception("ingest job %s failed", job.id)
            await self._jobs.fail(job.id, f"{type(error).__name__}: {error}")
        else:
            await self._jobs.complete(job.id)

    async def _steps(self, job: Job) -> None:
        processed = job.processed_documents
        while documents := await self._jobs.documents(job.id, processed, DOCUMENTS_PER_STEP):
            errors = await self._step(job.collection, documents, processed)
            processed += len(documents)
            await self._store.flush(job.collection)
            await self._jobs.advance(job.id, processed, errors)
            metrics.documents.set(self._store.count())

    async def _step(self, collection: str, documents: Sequence[Document], first: int) -> list[DocumentError]:
        """Write the documents; where one breaks the model, all others are still written and it is listed."""
        try:
            await self._write(collection, documents)
        except _PASSING:
            raise
        except GatewayError as error:
            if len(documents) == 1:
                return [DocumentError(first, documents[0].id, error.message)]
            half = len(documents) // 2
            return [
                *await self._step(collection, documents[:half], first),
                *await self._step(collection, documents[half:], first + half),
            ]
        return []

    async def _write(self, collection: str, documents: Sequence[Document]) -> None:
        vectors = await self._vectors(collection, [document.text for document in documents])
        passages = [
            Passage(document.id, document.id, document.text, 0, len(document.text), document.metadata)
            for document in documents
        ]
        await self._store.upsert(collection, passages, vectors)

    async def _vectors(self, collection: str, texts: Sequence[str]) -> F32:
        """Return the unit vectors of n texts; what the store holds already, and what is there twice, runs once."""
        known = await self._store.known(collection, texts)
        if missing := [text for text in dict.fromkeys(texts) if text not in known]:
            embedded = await self._embed([self._prompt + text for text in missing])
            known.update(zip(missing, embedded, strict=True))
        return np.stack([known[text] for text in texts])

    async def _embed(self, texts: Sequence[str]) -> F32:
        """Embed in the bulk lane; while the model or its upstream is away, wait for it: the job is acknowledged."""
        wait_s = RETRY_FIRST_S
        while True:
            try:
                answer = await self._backend.embed(self._model.id, texts, lane="bulk")
            except _PASSING as error:
                log.warning("ingest waits %.2f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, RETRY_MOST_S)
            else:
                return normalize(answer.vectors)
