"""The processing of jobs: turns of collections, and which error fails a job, on a real store and a real journal."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateways.core.errors import BackendUnavailable, GatewayError
from gateways.core.ingest import indexer, turns
from gateways.core.ingest.processor import MAX_ERRORS
from gateways.core.ingest.worker import IngestWorker
from gateways.core.jobs.base import Change, Document, DocumentError, Job
from gateways.core.jobs.sqlite import SqliteJobs
from tests.unit.core.ingest.pipeline import PROFILE, FaultyBackend, Pipeline, numbered


class BrokenJobs(SqliteJobs):
    """A journal that cannot read the documents of some jobs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.errors: dict[str, Exception] = {}

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents, or raise the error of this job."""
        if error := self.errors.get(job_id):
            raise error
        return await super().documents(job_id, start, limit)


class RecordedJobs(SqliteJobs):
    """A journal that notes which job is counted."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.advanced: list[str] = []

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Record the number of processed documents."""
        self.advanced.append(job_id)
        await super().advance(job_id, processed, errors)


async def status(ingest: Pipeline, job: Job) -> Job:
    """Return a job as it is now."""
    return await ingest.jobs.status(job.id) or pytest.fail("no such job")


def worker_of(ingest: Pipeline, jobs: SqliteJobs, flush_every_s: float = 600.0) -> IngestWorker:
    """Return a worker of another journal object."""
    return IngestWorker(ingest.registry, ingest.store, jobs, PROFILE, flush_every_s)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pauses after errors be too short to notice."""
    monkeypatch.setattr(turns, "MAX_WAIT_S", 0.001)


def test_a_large_job_lets_other_collections_go_first(tmp_path: Path) -> None:
    """A small job of another collection is counted after the first step of a large one, not after its last."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        jobs = RecordedJobs(tmp_path / "jobs.sqlite")
        large = await ingest.submit(numbered(12, 16_000), "books")
        small = await ingest.submit(numbered(1), "films")
        same = await ingest.submit(numbered(1), "books")

        # A flush is due after each batch, and a batch is one document.
        await worker_of(ingest, jobs, 0.0).drain()

        assert jobs.advanced.index(small.id) == 1
        assert jobs.advanced.count(large.id) > 2
        assert jobs.advanced[-1] == same.id, "a later job of its own collection waits"
        assert {job.status for job in await jobs.recent(3)} == {"completed"}

    asyncio.run(scenario())


def test_a_collection_that_cannot_go_on_does_not_hold_up_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model is away: the job says so and waits, and later jobs of its own collection wait behind it."""
    monkeypatch.setattr(indexer, "PATIENCE_S", 0.3)

    async def scenario() -> None:
        away = BackendUnavailable("the model of books is away")
        backend = FaultyBackend(lambda texts: away if any("book" in text for text in texts) else None)
        ingest = Pipeline(tmp_path, backend)
        worker = ingest.worker()
        book = await ingest.submit([Document("a", "a book")], "books")
        later = await ingest.submit([Document("b", "a later text")], "books")
        film = await ingest.submit([Document("a", "a film")], "films")

        await asyncio.wait_for(worker.drain(), 30)  # without a pause it would never end

        waiting = await status(ingest, book)
        assert (waiting.status, waiting.error) == ("running", away.message)
        assert (await status(ingest, film)).status == "completed"
        assert (await status(ingest, later)).status == "pending"
        backend.fault = lambda _: None
        await ingest.finish(worker)
        assert [(await status(ingest, job)).status for job in (book, later)] == ["completed", "completed"]
        assert (await status(ingest, book)).error is None

    asyncio.run(scenario())


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize(
    "error", [OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "Input/output error"), MemoryError()]
)
def test_an_error_of_the_system_never_fails_a_job(tmp_path: Path, error: Exception) -> None:
    """It was accepted, and the system may recover."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        jobs = BrokenJobs(tmp_path / "jobs.sqlite")
        worker = worker_of(ingest, jobs)
        job = await ingest.submit(numbered(2))
        jobs.errors[job.id] = error
        for _ in range(3 * MAX_ERRORS):
            await worker.drain()
            await asyncio.sleep(0.002)
        waiting = await status(ingest, job)
        assert waiting.status == "running"
        assert type(error).__name__ in (waiting.error or "")

        jobs.errors.clear()
        await ingest.finish(worker)
        assert (await status(ingest, job)).status == "completed"
        assert ingest.store.count() == 2

    asyncio.run(scenario())


@pytest.mark.usefixtures("no_pauses")
def test_an_unknown_error_fails_a_job_when_it_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The next job of the collection goes on, and the failed one can be tried again."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        jobs = BrokenJobs(tmp_path / "jobs.sqlite")
        worker = worker_of(ingest, jobs)
        job, later = await ingest.submit(numbered(2)), await ingest.submit([Document("d-0", "newer")])
        jobs.errors[job.id] = ValueError("a bug")
        await ingest.finish(worker)
        assert caplog.text.count(f"{job.id} waits after error") == MAX_ERRORS - 1
        failed = await status(ingest, job)
        assert (failed.status, failed.error) == ("failed", "ValueError: a bug")
        assert (await status(ingest, later)).status == "completed"

        jobs.errors.clear()
        await ingest.jobs.retry(job.id)
        await ingest.finish(worker)
        assert (await status(ingest, job)).status == "completed"
        passages = await ingest.store.collection("default").document("d-0")
        assert [passage.text for passage in passages] == ["newer"]
        assert await ingest.is_stored("d-1")

    asyncio.run(scenario())


@pytest.mark.usefixtures("no_pauses")
def test_errors_of_the_world_do_not_count_toward_a_failure(tmp_path: Path) -> None:
    """After a long outage a job has as many attempts left as before."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        jobs = BrokenJobs(tmp_path / "jobs.sqlite")
        worker = worker_of(ingest, jobs)
        job = await ingest.submit(numbered(1))
        jobs.errors[job.id] = BackendUnavailable("away")
        for _ in range(3 * MAX_ERRORS):
            await worker.drain()
            await asyncio.sleep(0.002)

        await worker._processor._handle_error(job, ValueError("a bug, once"))

        assert (await status(ingest, job)).status == "running"
        jobs.errors.clear()
        await ingest.finish(worker)
        assert (await status(ingest, job)).status == "completed"

    asyncio.run(scenario())


def test_a_job_that_is_tried_again_counts_documents_that_were_erased(tmp_path: Path) -> None:
    """Its last document was deleted, and the journal compacted, before it went on."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        worker = ingest.worker()
        job = await ingest.submit(numbered(3))
        assert await ingest.jobs.claim() is not None
        await ingest.jobs.fail(job.id, "it broke")
        await ingest.jobs.record(Change("delete_document", "default", "d-2"))
        assert await ingest.jobs.compact() == 1

        await ingest.jobs.retry(job.id)
        await ingest.finish(worker)

        assert await ingest.state(job.id) == ("completed", 3)
        assert [await ingest.is_stored(f"d-{n}") for n in range(3)] == [True, True, False]

    asyncio.run(scenario())


def test_a_clients_error_fails_a_job_at_once(tmp_path: Path) -> None:
    """It would be the same however often it is tried."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        jobs = BrokenJobs(tmp_path / "jobs.sqlite")
        job = await ingest.submit(numbered(1))
        jobs.errors[job.id] = GatewayError("no such profile")
        await worker_of(ingest, jobs).drain()
        failed = await status(ingest, job)
        assert (failed.status, failed.error) == ("failed", "no such profile")

    asyncio.run(scenario())
