"""What every job queue does: jobs, documents and changes, in SQLite and in PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Change, DocumentError, Job, JobCancelled, JobLost, JobQueue
from gateways.core.profiles import Chunking
from tests.system.stores.queue_workers import DOCUMENTS, claim_one


def test_a_job_from_its_submission_to_its_end(queue: tuple[JobQueue, asyncio.Runner]) -> None:
    """With its documents as they were sent, its progress and its errors."""
    jobs, runner = queue

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


def test_what_is_cancelled_or_failed_stays_so(queue: tuple[JobQueue, asyncio.Runner]) -> None:
    """A worker at its last step does not undo it; a finished job is not cancelled, an unknown one not known."""
    jobs, runner = queue

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
        assert [job.id for job in await jobs.recent(10, after=ids[1])] == [ids[0]]
        assert [job.id for job in await jobs.recent(1, "cancelled", ids[2])] == [ids[0]]
        assert await jobs.recent(10, after=ids[0]) == []

    runner.run(scenario())


def test_a_deletion_comes_after_every_job_that_was_accepted_before(queue: tuple[JobQueue, asyncio.Runner]) -> None:
    """A job leaves the document out, written or not; a job of later has it, and so have other collections."""
    jobs, runner = queue

    async def deleted(job: Job) -> set[str]:
        async with jobs.write_lease(job, ["a", "b\0", "c"]) as documents:
            return set(documents)

    async def scenario() -> None:
        film = await claim_one(jobs, "films")
        await jobs.complete(film.id)
        job = await claim_one(jobs)
        assert [await jobs.queued("books", name) for name in ("a", "b\0", "c")] == [True, True, False]
        assert not await jobs.queued("films", "a"), "its job is complete"
        for name in ("b\0", "c"):
            await jobs.record(Change("delete_document", "books", name))
        await jobs.record(Change("delete_document", "films", "a"))

        assert await deleted(job) == {"b\0", "c"}
        assert [await jobs.queued("books", name) for name in ("a", "b\0")] == [True, False]
        await jobs.advance(job.id, 1, [])
        assert not await jobs.queued("books", "a"), "it is written"
        await jobs.complete(job.id)

        later = await claim_one(jobs)
        assert await deleted(later) == set()
        assert await jobs.queued("books", "b\0")

    runner.run(scenario())


def test_a_finished_job_may_not_be_written(queue: tuple[JobQueue, asyncio.Runner]) -> None:
    """A cancelled one tells so; a completed one is another's."""
    jobs, runner = queue

    async def scenario() -> None:
        job = await claim_one(jobs)
        await jobs.cancel(job.id)
        with pytest.raises(JobCancelled):
            async with jobs.write_lease(job, ["a"]):
                pytest.fail("a cancelled job is written")
        await jobs.advance(job.id, 1, [])
        cancelled = await jobs.status(job.id)
        assert cancelled is not None
        assert (cancelled.status, cancelled.processed_documents) == ("cancelled", 1), "it was written before"
        job = await claim_one(jobs)
        await jobs.complete(job.id)
        with pytest.raises(JobLost):
            async with jobs.write_lease(job, ["a"]):
                pytest.fail("a completed job is written again")

    runner.run(scenario())
