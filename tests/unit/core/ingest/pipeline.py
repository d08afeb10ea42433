"""An ingest pipeline in one folder: an edge store, a SQLite journal and the pseudo backend."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateways.core.backend import DEFAULT_OPTIONS, Backend, Embeddings, EncodeOptions, Inputs
from gateways.core.errors import GatewayError
from gateways.core.inference.pseudo_backend import PseudoBackend
from gateways.core.ingest.flush import GroupCommit, JobProgress
from gateways.core.ingest.indexer import Indexer
from gateways.core.ingest.worker import IngestWorker
from gateways.core.jobs.base import Document, Job
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.models.registry import ModelRegistry
from gateways.core.profiles import Profile
from gateways.core.scoring import bm25
from gateways.core.stores.edge.store import EdgeStore

PROFILE = Profile("pseudo-64", 64, bm25.ID)


class FaultyBackend(PseudoBackend):
    """The pseudo backend behind a service that refuses some calls: those for whose texts `fault` has an error."""

    def __init__(self, fault: Callable[[Sequence[str]], GatewayError | None]) -> None:
        super().__init__()
        self.fault = fault

    async def embed(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Embed, or raise the error of these texts."""
        if error := self.fault([str(text) for text in inputs]):
            raise error
        return await super().embed(model, inputs, options)


class Pipeline:
    """The parts of ingest, and what tests ask of them."""

    def __init__(self, folder: Path, backend: Backend | None = None) -> None:
        self.registry = ModelRegistry(backend or PseudoBackend())
        self.store = EdgeStore(folder / "vectors", PROFILE, self.registry.models(), threads=1)
        self.jobs = SqliteJobs(folder / "jobs.sqlite")
        self.commit = GroupCommit(self.store, self.jobs)

    def worker(self, flush_every_s: float = 600.0) -> IngestWorker:
        """Return a worker that, by default, flushes only when the queue is empty."""
        return IngestWorker(self.registry, self.store, self.jobs, PROFILE, flush_every_s)

    async def finish(self, worker: IngestWorker) -> None:
        """Let a worker process all jobs, those as well that wait after an error."""
        async with asyncio.timeout(60):
            while any(job.finished_at is None for job in await self.jobs.recent(1_000)):
                await worker.drain()
                await asyncio.sleep(0.05)

    async def submit(self, documents: Sequence[Document], collection: str = "default") -> Job:
        """Return a new job."""
        return await self.jobs.submit(collection, documents, None)

    async def claim(self) -> JobProgress:
        """Return the progress of the oldest job that is not written to its end."""
        job = await self.jobs.claim(self.commit.written_jobs)
        assert job is not None
        return await self.commit.resume(job)

    async def write_next(self, progress: JobProgress) -> None:
        """Embed and write the next document of a job."""
        documents = await self.jobs.documents(progress.job.id, progress.processed, 1)
        progress.collection = collection = await self.store.ensure(progress.job.collection, PROFILE)
        indexer = Indexer(self.registry)
        passages = await indexer.cut_documents(progress.job, PROFILE, documents)
        vectors = await indexer.embed_texts(collection, [passage.text for passage in passages])
        await self.commit.write(progress, collection, passages, vectors, 1)

    async def state(self, job_id: str) -> tuple[str, int]:
        """Return the status of a job, and how many of its documents are counted."""
        job = await self.jobs.status(job_id)
        assert job is not None
        return job.status, job.processed_documents

    async def is_stored(self, document_id: str, collection: str = "default") -> bool:
        """Return whether a search could find the document."""
        return bool(await self.store.collection(collection).document(document_id))


def numbered(count: int, characters: int = 0) -> list[Document]:
    """Return documents d-0, d-1, … of at least this length."""
    return [Document(f"d-{n}", f"document {n} ".ljust(characters, "x")) for n in range(count)]


@contextmanager
def full_disk() -> Iterator[None]:
    """Let the kernel refuse every write to a file of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
