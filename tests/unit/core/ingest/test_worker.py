"""The ingest worker on a real store and a real journal, with the pseudo backend."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateways.core.errors import (
    BackendUnavailable,
    GatewayError,
)
from gateways.core.ingest.processor import BATCH_CHARACTERS
from gateways.core.ingest.worker import IngestWorker
from gateways.core.jobs.base import Document, Job
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.persistence.data_dir import check_space
from tests.unit.core.ingest.pipeline import PROFILE, Pipeline, full_disk, numbered


class UnreliableJobs(SqliteJobs):
    """A journal that cannot be read while it is `away`."""

    away = False

    async def status(self, job_id: str) -> Job | None:
        """Return a job."""
        if self.away:
            raise BackendUnavailable("the journal is away")
        return await super().status(job_id)


# A batch holds two of these documents.
HALF_BATCH = BATCH_CHARACTERS // 2
DEADLINE_S = 60.0
MORE_THAN_ANY_DISK_BYTES = 10**18


async def drain_until_stored(
    ingest: Pipeline, worker: IngestWorker, document_id: str, collection: str = "default"
) -> asyncio.Task[None]:
    """Return the task of a worker that has written this document and not yet emptied the queue."""
    draining = asyncio.create_task(worker.drain())
    async with asyncio.timeout(DEADLINE_S):
        while not await ingest.is_stored(document_id, collection):
            assert not draining.done()
    assert not draining.done()
    return draining


def test_a_document_is_counted_only_after_the_flush_that_wrote_it(tmp_path: Path) -> None:
    """While a job is written and no flush is due, a search finds its documents, and the job counts none."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(40, HALF_BATCH))

        draining = await drain_until_stored(ingest, ingest.worker(), "d-0")
        assert await ingest.state(job.id) == ("running", 0)
        await draining

        assert await ingest.state(job.id) == ("completed", 40)
        assert ingest.store.count() == 40

    asyncio.run(scenario())


@pytest.mark.parametrize(("flush_every_s", "shared"), [(600.0, True), (0.0, False)])
def test_a_small_job_shares_a_flush_with_another(tmp_path: Path, flush_every_s: float, shared: bool) -> None:
    """The second one starts before the first is counted, unless each job has a flush of its own."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        ids = [(await ingest.submit(numbered(1))).id for _ in range(2)]

        await ingest.worker(flush_every_s).drain()

        first, second = [await ingest.jobs.status(job_id) for job_id in ids]
        assert first is not None
        assert second is not None
        assert (first.status, second.status) == ("completed", "completed")
        assert first.finished_at is not None
        assert second.started_at is not None
        assert (second.started_at < first.finished_at) is shared

    asyncio.run(scenario())


def test_a_cancelled_job_is_looked_at_again_before_its_next_write(tmp_path: Path) -> None:
    """Once the cancellation is answered no document more is stored, and those that are stored are counted."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        worker = ingest.worker()
        job = await ingest.submit(numbered(40, HALF_BATCH))
        draining = await drain_until_stored(ingest, worker, "d-0")

        async with worker.pause_writes():
            await ingest.jobs.cancel(job.id)
            _, counted = await ingest.state(job.id)
        await draining

        assert 0 < counted < 40
        assert await ingest.state(job.id) == ("cancelled", counted)
        assert [await ingest.is_stored(f"d-{n}") for n in range(40)] == [n < counted for n in range(40)]

    asyncio.run(scenario())


def test_a_store_that_fails_to_flush_leaves_its_documents_uncounted(tmp_path: Path) -> None:
    """The disk becomes full in the middle of a job: nothing is counted. With room again the job goes on."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        worker = ingest.worker()
        job = await ingest.submit(numbered(10, HALF_BATCH))
        draining = await drain_until_stored(ingest, worker, "d-0")

        with full_disk(), pytest.raises(GatewayError):
            await draining
        assert await ingest.state(job.id) == ("running", 0)

        await ingest.finish(worker)
        assert await ingest.state(job.id) == ("completed", 10)
        assert ingest.store.count() == 10

    asyncio.run(scenario())


def test_a_later_job_waits_for_one_that_was_interrupted(tmp_path: Path) -> None:
    """The journal is away in the middle of the first job. The second job has the newer document, which wins."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        jobs = UnreliableJobs(tmp_path / "jobs.sqlite")
        worker = IngestWorker(ingest.registry, ingest.store, jobs, PROFILE, 600.0)
        first = await ingest.submit([*numbered(40, HALF_BATCH), Document("price", "the older price")])
        draining = await drain_until_stored(ingest, worker, "d-0")
        jobs.away = True
        with pytest.raises(BackendUnavailable):
            await draining
        jobs.away = False
        second = await ingest.submit([Document("price", "the newer price")])

        await ingest.finish(worker)

        assert await ingest.state(first.id) == ("completed", 41)
        assert await ingest.state(second.id) == ("completed", 1)
        document = await ingest.store.collection("default").document("price")
        assert document
        assert document[0].text == "the newer price"

    asyncio.run(scenario())


def test_a_job_waits_for_free_space(tmp_path: Path) -> None:
    """Nothing is written below the limit; above it the job goes on."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        limits = [MORE_THAN_ANY_DISK_BYTES, MORE_THAN_ANY_DISK_BYTES, 0]
        job = await ingest.submit(numbered(1))

        worker = IngestWorker(
            ingest.registry, ingest.store, ingest.jobs, PROFILE, 0.0, lambda: check_space(tmp_path, limits.pop(0))
        )
        await worker.drain()

        assert limits == []
        assert await ingest.state(job.id) == ("completed", 1)

    asyncio.run(scenario())


def test_a_deleted_collection_is_not_created_again_by_its_jobs(tmp_path: Path) -> None:
    """Its running job is cancelled; a collection that does not exist is not deleted."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        worker = ingest.worker()
        await ingest.store.ensure("books", PROFILE)
        job = await ingest.submit(numbered(40, HALF_BATCH), "books")
        draining = await drain_until_stored(ingest, worker, "d-0", "books")

        assert await worker.delete_collection("books") is True
        assert await worker.delete_collection("books") is False
        await draining

        assert (await ingest.state(job.id))[0] == "cancelled"
        assert [collection.name for collection in ingest.store.collections()] == ["default"]

    asyncio.run(scenario())


def test_the_next_process_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    """A stopped worker counts what it has written; the rest is written by its successor."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        worker = ingest.worker()
        job = await ingest.submit(numbered(40, HALF_BATCH))
        draining = await drain_until_stored(ingest, worker, "d-0")
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        await worker.stop()
        status, counted = await ingest.state(job.id)
        assert status == "running"
        assert 0 < counted < 40
        await ingest.store.close()
        await ingest.jobs.close()

        successor = Pipeline(tmp_path)
        assert successor.store.count() >= counted
        await successor.worker().drain()

        assert await successor.state(job.id) == ("completed", 40)
        assert successor.store.count() == 40

    asyncio.run(scenario())
