"""What every job queue does; and what one does that several gateways work off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Change, Document, DocumentError, JobLost, JobQueue
from gateways.core.jobs.postgres import PostgresJobs
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.postgres import Database
from gateways.core.profiles import Chunking

DOCUMENTS = [Document("a", "one\0two"), Document("b\0", "two", {"n": 1, "nul": "\0"})]
LEASE_S = 0.6


async def worker(url: str, lease_s: float = 60.0) -> PostgresJobs:
    """Return one more worker of the queue in a database."""
    jobs = PostgresJobs(Database(url), lease_s)
    await jobs.open()
    return jobs


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[JobQueue, asyncio.Runner]]:
    """Yield each kind of queue, and the loop to use it on."""
    with asyncio.Runner() as runner:
        if request.param == "sqlite":
            jobs: JobQueue = SqliteJobs(tmp_path / "jobs.sqlite")
        else:
            jobs = runner.run(worker(request.getfixturevalue("database_url")))
        yield jobs, runner
        runner.run(jobs.close())


def test_a_job_from_its_submission_to_its_end(opened: tuple[JobQueue, asyncio.Runner]) -> None:
    """With its documents as they were sent, its progress and its errors."""
    jobs, runner = opened

    async def scenario() -> None:
        first = await jobs.submit("books", DOCUMENTS, "key", Chunking(64, 8))
        assert (first.status, first.total_documents, first.chunk) == ("pending", 2, Chunking(64, 8))
        assert (await jobs.submit("books", DOCUMENTS, "key", Chunking(64, 8))).id == first.id
        with pytest.raises(Conflict, match="Idempotency-Key"):
            await jobs.submit("books", DOCUMENTS[:1], "key")
        claimed = await jobs.claim()
        assert claimed is not None
        assert (claimed.id, claimed.status) == (first.id, "running")
        assert await jobs.documents(first.id, 0, 10) == DOCUMENTS
        assert await jobs.documents(first.id, 1, 10) == DOCUMENTS[1:]
        wrong = DocumentError(1, "b", "too long")
        await jobs.advance(first.id, 2, [wrong])
        await jobs.complete(first.id)
        done = await jobs.status(first.id)
        assert done is not None
        assert (done.status, done.processed_documents, done.errors) == ("completed", 2, (wrong,))
        assert await jobs.claim() is None
        await jobs.record(Change("delete_document", "books", "a\0"))

    runner.run(scenario())


def test_what_is_cancelled_or_failed_stays_so(opened: tuple[JobQueue, asyncio.Runner]) -> None:
    """A worker at its last step does not undo it; a finished job is not cancelled, an unknown one not known."""
    jobs, runner = opened

    async def scenario() -> None:
        ids = [(await jobs.submit(name, DOCUMENTS, None)).id for name in ("books", "books", "films")]
        assert (await jobs.claim() or pytest.fail("nothing to claim")).id == ids[0]
        cancelled = await jobs.cancel(ids[0])
        assert cancelled is not None
        assert cancelled.status == "cancelled"
        await jobs.complete(ids[0])
        await jobs.cancel_all("films")
        assert (await jobs.claim() or pytest.fail("nothing to claim")).id == ids[1]
        await jobs.fail(ids[1], "it broke\0")
        with pytest.raises(Conflict, match="failed already"):
            await jobs.cancel(ids[1])
        assert await jobs.cancel("no\0such") is None
        assert await jobs.status("no such") is None
        recent = await jobs.recent(10)
        assert [(job.id, job.status) for job in recent] == [
            (ids[2], "cancelled"),
            (ids[1], "failed"),
            (ids[0], "cancelled"),
        ]
        assert [job.id for job in await jobs.recent(10, "failed")] == [ids[1]]

    runner.run(scenario())


def test_two_workers_never_have_the_same_job(database_url: str) -> None:
    """Nor do they work on one collection at a time: the later document of two with an id is the one that stays."""

    async def scenario() -> None:
        one, other = await worker(database_url), await worker(database_url)
        ids = [(await one.submit(name, DOCUMENTS, None)).id for name in ("books", "books", "films")]
        first, second, third = await one.claim(), await other.claim(), await other.claim()
        assert first is not None
        assert second is not None
        assert (first.id, second.id) == (ids[0], ids[2])
        assert third is not None
        assert third.id == ids[2], "it goes on with its own"
        await one.complete(ids[0])
        await other.complete(ids[2])
        last = await other.claim()
        assert last is not None
        assert last.id == ids[1]
        assert await one.claim() is None
        await one.close()
        await other.close()

    asyncio.run(scenario())


def test_a_job_whose_worker_is_gone_is_taken_over(database_url: str) -> None:
    """While it is heard of it keeps its job; then another goes on from its last step, and it has lost it."""

    async def scenario() -> None:
        gone, other = await worker(database_url, LEASE_S), await worker(database_url, LEASE_S)
        job = await gone.submit("books", DOCUMENTS, None)
        assert await gone.claim() is not None
        await gone.advance(job.id, 1, [])
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        while loop.time() < begun_s + 3 * LEASE_S:
            assert await other.claim() is None
            await asyncio.sleep(LEASE_S / 10)
        gone._living.cancel()  # as a process does that was killed, or that hangs
        while not (taken := await other.claim()):
            assert loop.time() < begun_s + 30 * LEASE_S
            await asyncio.sleep(LEASE_S / 10)
        assert (taken.id, taken.processed_documents) == (job.id, 1)
        with pytest.raises(JobLost):
            await gone.advance(job.id, 2, [])
        await gone.complete(job.id)
        now = await other.status(job.id)
        assert now is not None
        assert now.status == "running"
        await other.close()
        await gone.close()

    asyncio.run(scenario())
