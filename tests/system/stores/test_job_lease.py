"""The lease of a job that several gateways share: one worker at a time, and none that slept beyond it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from gateways.core.backend import SparseVector
from gateways.core.errors import BackendUnavailable
from gateways.core.jobs.base import Change, JobLost
from gateways.core.jobs.postgres import PostgresJobs
from gateways.core.persistence.postgres import Database
from gateways.core.profiles import Profile
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.pgvector import tables
from gateways.core.stores.pgvector.collection import PgCollection
from gateways.core.stores.pgvector.store import PgStore
from tests.system.stores.queue_workers import DOCUMENTS, LEASE_S, claim_one, open_worker, take_over

PROFILE = Profile("tiny", 4, "bm25")
PASSAGE = Passage("a", "a", "old", 0, 3)
VECTORS = Vectors(np.eye(4, dtype=np.float32)[0], SparseVector(np.array([1]), np.array([1.0], np.float32)))


def test_two_workers_never_have_the_same_job(database_url: str) -> None:
    """Nor do they work on one collection at a time: the later document of two with an id is the one that stays."""

    async def scenario() -> None:
        one, other = await open_worker(database_url), await open_worker(database_url)
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
        gone, other = await open_worker(database_url, LEASE_S), await open_worker(database_url, LEASE_S)
        job = await gone.submit("books", DOCUMENTS, None)
        assert await gone.claim() is not None
        await gone.advance(job.id, 1, [])
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        while loop.time() < begun_s + 3 * LEASE_S:
            assert await other.claim() is None
            await asyncio.sleep(LEASE_S / 10)
        gone._lease._renewal.cancel()  # as a process does that was killed, or that hangs
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


def test_a_worker_that_slept_changes_nothing_of_a_job_that_another_completed(database_url: str) -> None:
    """Neither its documents nor its progress."""

    async def scenario() -> None:
        asleep, other = await open_worker(database_url, LEASE_S), await open_worker(database_url, LEASE_S)
        job = await claim_one(asleep)
        asleep._lease._renewal.cancel()
        await take_over(other)
        with pytest.raises(JobLost):
            async with asleep.write_lease(job, ["a"]):
                pytest.fail("a lost job is written")
        await other.advance(job.id, 2, [])
        await other.complete(job.id)

        with pytest.raises(JobLost):
            async with asleep.write_lease(job, ["a"]):
                pytest.fail("a completed job is written")
        with pytest.raises(JobLost):
            await asleep.advance(job.id, 1, [])
        await asleep.fail(job.id, "too late")

        done = await other.status(job.id)
        assert done is not None
        assert (done.status, done.processed_documents, done.error) == ("completed", 2, None)
        await other.close()
        await asleep.close()

    asyncio.run(scenario())


def test_a_deletion_waits_for_the_writer_of_its_collection(database_url: str) -> None:
    """Whatever the writer wrote is deleted; a writer of another collection is not waited for."""

    async def scenario() -> None:
        jobs, other = await open_worker(database_url), await open_worker(database_url)
        job = await claim_one(jobs)
        async with jobs.write_lease(job, ["a"]) as deleted:
            assert not deleted
            await asyncio.create_task(other.record(Change("delete_document", "films", "a")))
            deletion = asyncio.create_task(other.record(Change("delete_document", "books", "a")))
            cancel = asyncio.create_task(other.cancel(job.id))
            await asyncio.sleep(0.3)
            assert not deletion.done()
            assert not cancel.done(), "a write would come after the answer to a cancellation"
        await asyncio.gather(deletion, cancel)
        await other.close()
        await jobs.close()

    asyncio.run(scenario())


def test_a_paused_writer_writes_nothing_once_its_job_was_taken_over(database_url: str) -> None:
    """It stops inside of its transaction. The server ends that, another worker goes on, and the late write fails."""

    async def write_in_its_place(other: PostgresJobs, collection: PgCollection) -> None:
        job = await take_over(other)
        await other.complete(job.id)
        newer = await claim_one(other)
        async with other.write_lease(newer, ["a"]):
            await collection.replace([replace(PASSAGE, text="new")], [VECTORS])

    async def write_late(paused: PostgresJobs, other: PostgresJobs, collection: PgCollection) -> None:
        job = await claim_one(paused)
        paused._lease._renewal.cancel()
        async with paused.write_lease(job, ["a"]):
            await asyncio.create_task(write_in_its_place(other, collection))
            await collection.replace([PASSAGE], [VECTORS])

    async def scenario() -> None:
        paused, other = await open_worker(database_url, LEASE_S), await open_worker(database_url, LEASE_S)
        store = PgStore(Database(database_url, tables.prepare), PROFILE)
        await store.open(None)
        collection = await store.ensure("books", PROFILE)
        try:
            with pytest.raises(BackendUnavailable):
                await write_late(paused, other, collection)
            assert [stored.text for stored in await collection.document("a")] == ["new"]
        finally:
            for opened in (store, other, paused):
                await opened.close()

    asyncio.run(scenario())


def test_a_lease_that_is_no_longer_renewed_is_a_failure(database_url: str) -> None:
    """Health and readiness tell it: another gateway will take the jobs over."""

    async def scenario() -> None:
        jobs = await open_worker(database_url)
        assert jobs.failure() is None
        jobs._lease._renewal.cancel()
        await asyncio.wait([jobs._lease._renewal])
        assert "lease" in (jobs.failure() or "")
        await jobs.close()

    asyncio.run(scenario())
