"""Compaction of a job queue, in SQLite and in PostgreSQL: what is erased, and what a job still needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Change, Document, Job, JobQueue

OpenQueue = tuple[JobQueue, asyncio.Runner]


async def write(
    jobs: JobQueue,
    names: Sequence[str],
    processed: int | None = None,
    end: str = "complete",
    collection: str = "books",
) -> Job:
    """Return a new job that was worked on: all its documents, or the first `processed`, and then its end."""
    job = await jobs.submit(collection, [Document(name, f"text of {name}") for name in names], None)
    assert (await jobs.claim() or pytest.fail("nothing to claim")).id == job.id
    await jobs.advance(job.id, len(names) if processed is None else processed, [])
    if end == "complete":
        await jobs.complete(job.id)
    elif end == "cancel":
        await jobs.cancel(job.id)
    else:
        await jobs.fail(job.id, "it broke")
    return job


async def kept(jobs: JobQueue, job: Job) -> list[str]:
    """Return the ids of the documents that the journal still has of a job."""
    return [document.id for document in await jobs.documents(job.id, 0, 100)]


def test_what_no_store_holds_is_erased(queue: OpenQueue) -> None:
    """Deleted documents, replaced ones, those of deleted collections, and those that were cancelled before."""
    jobs, runner = queue

    async def scenario() -> None:
        old = await write(jobs, ["deleted\0", "replaced", "kept"])
        new = await write(jobs, ["replaced", "replaced"])
        other = await write(jobs, ["deleted\0", "replaced"], collection="films")
        gone = await write(jobs, ["a", "b"], collection="songs")
        cancelled = await write(jobs, ["written", "unwritten"], 1, "cancel")
        await jobs.record(Change("delete_document", "books", "deleted\0"))
        await jobs.record(Change("delete_collection", "songs"))
        size = await jobs.size_bytes()

        assert await jobs.compact() == 6
        assert await jobs.compact() == 0

        assert [await kept(jobs, job) for job in (old, new, other, gone, cancelled)] == [
            ["kept"],
            ["replaced"],
            ["deleted\0", "replaced"],
            [],
            ["written"],
        ]
        assert 0 < await jobs.size_bytes() <= size
        done = await jobs.status(old.id)
        assert done is not None
        assert (done.status, done.processed_documents) == ("completed", 3), "jobs are still told of"

    runner.run(scenario())


def test_what_an_unfinished_or_failed_job_needs_is_kept(queue: OpenQueue) -> None:
    """Its documents, and the deletions that forbid it to write some of them."""
    jobs, runner = queue

    async def scenario() -> None:
        failed = await write(jobs, ["a", "b", "c"], 1, "fail")
        unfinished = await jobs.submit("books", [Document("b", "text"), Document("d", "text")], None)
        for name in ("b", "d"):
            await jobs.record(Change("delete_document", "books", name))

        await jobs.compact()

        assert await kept(jobs, unfinished) == ["b", "d"]
        claimed = await jobs.claim() or pytest.fail("nothing to claim")
        async with jobs.write_lease(claimed, ["b", "d"]) as outdated:
            assert set(outdated) == {"b", "d"}
        await jobs.complete(unfinished.id)
        await jobs.compact()
        await jobs.retry(failed.id)
        claimed = await jobs.claim() or pytest.fail("nothing to claim")
        async with jobs.write_lease(claimed, ["b", "c"]) as outdated:
            assert set(outdated) == {"b"}

    runner.run(scenario())


def test_a_failed_job_of_a_deleted_collection_is_still_refused(queue: OpenQueue) -> None:
    """The deletion stays in the journal as long as the job could come back."""
    jobs, runner = queue

    async def scenario() -> None:
        failed = await write(jobs, ["a"], 0, "fail")
        await jobs.record(Change("delete_collection", "books"))
        await jobs.compact()
        assert await kept(jobs, failed) == []
        with pytest.raises(Conflict, match="deleted"):
            await jobs.retry(failed.id)

    runner.run(scenario())
