"""One gateway: a backend, a store, a job queue and the worker between them."""

from __future__ import annotations

import asyncio
import fcntl
import importlib
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gateways.core import bm25, metrics
from gateways.core.backend import (
    Backend,
    Embeddings,
    Inputs,
    Kind,
    Lane,
    ModelInfo,
    Scores,
    SparseEmbeddings,
    Truncate,
)
from gateways.core.errors import BackendUnavailable, InvalidRequest, NotFound
from gateways.core.ingest import IngestWorker
from gateways.core.jobs.base import Document, Job, JobQueue
from gateways.core.settings import Settings
from gateways.core.stores import filters
from gateways.core.stores.base import Hit, VectorStore
from gateways.core.vectors import normalize

log = logging.getLogger(__name__)
OFF_LOOP_THREADS = 2


class DataDirBusy(Exception):
    """Another process serves from the same DATA_DIR."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and where its time went."""

    hits: Sequence[Hit]
    model: str
    took_ms: float
    timings_ms: dict[str, float]


class Gateway:
    """Everything behind the routes. `start` makes it ready; until then whatever needs the model is a 503."""

    def __init__(self, name: str, backend: Backend, settings: Settings) -> None:
        self.name = name
        self.backend = backend
        self.settings = settings
        self._store: VectorStore | None = None
        self._jobs: JobQueue | None = None

    async def start(self) -> None:
        """Load the model, open DATA_DIR, take up unfinished jobs. Raises DataDirBusy, StoreMismatch."""
        # Store and journal calls take turns anyway; each further thread would keep a malloc arena of its own.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(OFF_LOOP_THREADS, "off-loop"))
        self._lock = _lock(self.settings.data_dir)
        await self.backend.__aenter__()
        model, settings = self.model(None), self.settings
        store = importlib.import_module(f"gateways.core.stores.{settings.store}")
        jobs = importlib.import_module(f"gateways.core.jobs.{settings.jobs}")
        self._store = store.open_store(settings.data_dir, model, settings.cores())
        self._jobs = jobs.open_jobs(settings.data_dir)
        metrics.documents.set(self.store.count())
        self._worker = IngestWorker(self.backend, self.store, self.jobs, model)
        self._working = asyncio.create_task(self._worker.run())

    async def stop(self) -> None:
        """Stop the worker between two steps, close what is open, unload the model."""
        if self._store and self._jobs:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)
            self._store.close()
            self._jobs.close()
        await self.backend.__aexit__(None, None, None)

    @property
    def store(self) -> VectorStore:
        """Return the store; BackendUnavailable while starting."""
        if self._store is None:
            raise _starting()
        return self._store

    @property
    def jobs(self) -> JobQueue:
        """Return the job queue; BackendUnavailable while starting."""
        if self._jobs is None:
            raise _starting()
        return self._jobs

    def ready(self) -> bool:
        """Say whether a request sent now would be served."""
        return self._jobs is not None and self.backend.ready()

    def failure(self) -> str | None:
        """Return what is broken for good, None while nothing is."""
        if self._jobs is not None and self._working.done():
            return "the ingest worker has died"
        return self.backend.failure()

    def health(self) -> dict[str, object]:
        """Return what `/healthz` tells besides the status."""
        count = self._store.count() if self._store else 0
        return {"model_loaded": bool(self.backend.models()), "document_count": count}

    def models(self) -> Sequence[ModelInfo]:
        """Return the models; BackendUnavailable while starting."""
        models = self.backend.models()
        if not models:
            raise _starting()
        return models

    def model(self, name: str | None, kind: Kind = "dense") -> ModelInfo:
        """
        Return the model an id or alias means, the default of the kind for None or "".

        Raises NotFound for an unknown name, InvalidRequest for a model of another kind.
        """
        of_kind = [model for model in self.models() if model.kind == kind]
        for model in of_kind:
            if not name or name == model.id or name in model.aliases or name in model.stands_in_for:
                return model
        known = ", ".join(model.id for model in of_kind) or "none"
        for model in self.models():
            if name in (model.id, *model.aliases, *model.stands_in_for):
                raise InvalidRequest(
                    f"{name!r} is a {model.kind} model; this needs a {kind} model. There are: {known}.",
                    param="model",
                    code="wrong_model_kind",
                )
        asked = f"model {name!r}" if name else f"{kind} model"
        raise NotFound(f"there is no {asked} here; there are: {known}.", param="model", code="unknown_model")

    def any_model(self, name: str) -> ModelInfo:
        """Return the model of any kind that an id or alias means. Raises NotFound."""
        for model in self.models():
            if name in (model.id, *model.aliases, *model.stands_in_for):
                return model
        known = ", ".join(model.id for model in self.models())
        raise NotFound(f"there is no model {name!r} here; there are: {known}.", param="model", code="unknown_model")

    async def embed(self, model: ModelInfo, inputs: Inputs, *, truncate: Truncate = "END") -> Embeddings:
        """Embed n inputs with a dense model."""
        return await self.backend.embed(model.id, inputs, truncate=truncate)

    async def embed_sparse(
        self,
        model: ModelInfo,
        texts: Sequence[str],
        *,
        query: bool = False,
        truncate: Truncate = "END",
        lane: Lane = "interactive",
    ) -> SparseEmbeddings:
        """Weigh n texts with a sparse model; BM25 needs no backend."""
        if model.id == bm25.ID:
            return await asyncio.to_thread(bm25.embed, texts, query=query)
        return await self.backend.embed_sparse(model.id, texts, truncate=truncate, lane=lane)

    async def rerank(
        self, model: ModelInfo, query: str, documents: Sequence[str], *, truncate: Truncate = "END"
    ) -> Scores:
        """Score n documents with a reranker."""
        return await self.backend.rerank(model.id, query, documents, truncate=truncate)

    async def submit(self, collection: str, documents: Sequence[Document], key: str | None) -> Job:
        """Queue documents; they are on disk when this returns."""
        job = await self.jobs.submit(collection, documents, key)
        self._worker.wake()
        return job

    async def delete(self, collection: str, document_id: str) -> bool:
        """Forget a document, durably; say whether there was one."""
        deleted = await self.store.delete(collection, document_id)
        metrics.documents.set(self.store.count())
        return deleted

    async def search(
        self, query: str, collection: str, k: int, where: dict[str, Any] | None, min_score: float | None
    ) -> Found:
        """Embed the query and return its k nearest passages that match the filter; a wrong filter costs no model."""
        started_s = time.perf_counter()
        condition = filters.parse(where) if where else None
        store, model = self.store, self.model(None)
        prompt = dict(model.prompts)["query"]
        embedded = await self.backend.embed(model.id, [prompt + query])
        retrieving_s = time.perf_counter()
        hits = await store.search(collection, normalize(embedded.vectors)[0], k, condition, min_score)
        finished_s = time.perf_counter()
        timings_ms = {
            "tokenize": round(embedded.tokenize_ms, 3),
            "queue": round(embedded.queue_ms, 3),
            "infer": round(embedded.infer_ms, 3),
            "retrieve": round((finished_s - retrieving_s) * 1e3, 3),
        }
        return Found(hits, model.id, round((finished_s - started_s) * 1e3, 3), timings_ms)


def _starting() -> BackendUnavailable:
    return BackendUnavailable("the gateway is starting; /readyz tells when it is ready", retry_after_s=1)


def _lock(data_dir: Path) -> TextIO:
    """Take the folder for this process until it ends, however it ends."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = (data_dir / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise DataDirBusy(f"DATA_DIR is served by process {lock.read().strip()}; stop it or use another") from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
