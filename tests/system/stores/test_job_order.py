"""The order of jobs, in SQLite and in PostgreSQL: turns of collections, and failed jobs that are tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Change, Document, Job, JobQueue
from tests.system.stores.queue_workers import claim_one

OpenQueue = tuple[JobQueue, asyncio.Runner]


async def submit(jobs: JobQueue, names: Sequence[str], collection: str = "books") -> Job:
    """Return a new job of documents with these ids."""
    return await jobs.submit(collection, [Document(name, f"text of {name}") for name in names], None)


async def claim(jobs: JobQueue, waiting: Sequence[str] = (), served: Sequence[str] = ()) -> str:
    """Return the id of the job that is claimed."""
    job = await jobs.claim((), waiting, served) or pytest.fail("nothing to claim")
    return job.id


async def fail_one(jobs: JobQueue, names: Sequence[str], processed: int = 0) -> Job:
    """Return a new job that has failed after some of its documents."""
    job = await submit(jobs, names)
    assert await claim(jobs) == job.id
    await jobs.advance(job.id, processed, [])
    await jobs.fail(job.id, "it broke\0")
    return job


async def finish_one(jobs: JobQueue, names: Sequence[str], collection: str = "books") -> None:
    """Complete a new job."""
    job = await submit(jobs, names, collection)
    assert await claim(jobs) == job.id
    await jobs.advance(job.id, len(names), [])
    await jobs.complete(job.id)


def test_collections_take_turns(queue: OpenQueue) -> None:
    """Who was served last comes last; within a collection the oldest job comes first."""
    jobs, runner = queue

    async def scenario() -> None:
        first, film = await submit(jobs, "a"), await submit(jobs, "a", "films")
        await submit(jobs, "b")
        song = await submit(jobs, "a", "songs")
        assert await claim(jobs) == first.id
        assert await claim(jobs, served=["books"]) == film.id
        assert await claim(jobs, served=["books", "films"]) == song.id
        assert await claim(jobs, served=["songs", "films", "books"]) == song.id
        assert await claim(jobs, waiting=["books", "films"]) == song.id
        assert await jobs.claim((), ["books", "films", "songs"]) is None

    runner.run(scenario())


def test_a_waiting_job_says_why(queue: OpenQueue) -> None:
    """The reason goes once the job goes on; a finished job keeps its own."""
    jobs, runner = queue

    async def scenario() -> None:
        job = await claim_one(jobs)
        for reason in ("the disk is unreadable\0", None):
            await jobs.report(job.id, reason)
            waiting = await jobs.status(job.id)
            assert waiting is not None
            assert (waiting.status, waiting.error and waiting.error.rstrip("\0")) == (
                "running",
                reason and reason.rstrip("\0"),
            )
        await jobs.fail(job.id, "it broke")
        await jobs.report(job.id, None)
        failed = await jobs.status(job.id)
        assert failed is not None
        assert failed.error == "it broke"

    runner.run(scenario())


def test_a_failed_job_is_tried_again(queue: OpenQueue) -> None:
    """It goes on after its processed documents. A job that did not fail stays as it is."""
    jobs, runner = queue

    async def scenario() -> None:
        job = await fail_one(jobs, ["a", "b"], processed=1)

        retried = await jobs.retry(job.id)

        assert retried is not None
        assert (retried.id, retried.status, retried.processed_documents) == (job.id, "pending", 1)
        assert (retried.error, retried.finished_at) == (None, None)
        with pytest.raises(Conflict, match="pending"):
            await jobs.retry(job.id)
        assert await claim(jobs) == job.id
        await jobs.complete(job.id)
        with pytest.raises(Conflict, match="completed"):
            await jobs.retry(job.id)
        assert await jobs.retry("no\0such") is None

    runner.run(scenario())


def test_a_job_that_is_tried_again_comes_after_those_of_before(queue: OpenQueue) -> None:
    """Jobs that are accepted afterwards come after it, and so does a second one that is tried again."""
    jobs, runner = queue

    async def scenario() -> None:
        failed, second = await fail_one(jobs, ["a"]), await fail_one(jobs, ["a"])
        earlier = await submit(jobs, ["a"])
        await jobs.retry(failed.id)
        later = await submit(jobs, ["a"])
        await jobs.retry(second.id)
        for job in (earlier, failed, later, second):
            assert await claim(jobs) == job.id
            await jobs.complete(job.id)

    runner.run(scenario())


def test_a_job_that_is_tried_again_replaces_nothing_newer(queue: OpenQueue) -> None:
    """It leaves out what a later job has written and what was deleted, but not what a later job failed to write."""
    jobs, runner = queue
    names = ["deleted", "replaced", "half", "lost", "elsewhere", "kept"]

    async def scenario() -> None:
        job = await fail_one(jobs, names)
        await finish_one(jobs, ["replaced"])
        await fail_one(jobs, ["half", "lost"], processed=1)
        await finish_one(jobs, ["elsewhere"], "films")
        await jobs.record(Change("delete_document", "books", "deleted"))
        cancelled = await submit(jobs, ["kept"])
        await jobs.cancel(cancelled.id)
        await jobs.retry(job.id)
        later = await submit(jobs, ["kept"])

        claimed = await jobs.claim() or pytest.fail("nothing to claim")
        assert claimed.id == job.id
        async with jobs.write_lease(claimed, names) as outdated:
            assert set(outdated) == {"deleted", "replaced", "half"}
        await jobs.complete(job.id)
        claimed = await jobs.claim() or pytest.fail("nothing to claim")
        assert claimed.id == later.id
        async with jobs.write_lease(claimed, ["kept"]) as outdated:
            assert set(outdated) == set()

    runner.run(scenario())


def test_a_job_of_a_deleted_collection_is_not_tried_again(queue: OpenQueue) -> None:
    """The deletion meant its documents too."""
    jobs, runner = queue

    async def scenario() -> None:
        job = await fail_one(jobs, ["a"])
        await jobs.record(Change("delete_collection", "books"))
        with pytest.raises(Conflict, match="deleted"):
            await jobs.retry(job.id)
        failed = await jobs.status(job.id)
        assert failed is not None
        assert failed.status == "failed"

    runner.run(scenario())
