"""The group commit on a real store and a real journal: written, flushed, acknowledged."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateways.core.errors import BackendUnavailable
from gateways.core.jobs.base import Change, DocumentError, JobCancelled
from tests.unit.core.ingest.pipeline import Pipeline, full_disk, numbered


def test_a_document_is_counted_only_after_the_flush_that_wrote_it(tmp_path: Path) -> None:
    """A search finds it at once; the journal counts it once it is on disk."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(2))
        progress = await ingest.claim()

        await ingest.write_next(progress)
        assert await ingest.is_stored("d-0")
        assert await ingest.state(job.id) == ("running", 0)
        await ingest.commit.flush()
        assert await ingest.state(job.id) == ("running", 1)
        assert ingest.commit.pending_jobs == []

        await ingest.write_next(progress)
        await ingest.commit.complete(progress)
        assert await ingest.state(job.id) == ("running", 1)
        await ingest.commit.flush()
        assert await ingest.state(job.id) == ("completed", 2)
        assert ingest.store.count() == 2

    asyncio.run(scenario())


def test_a_small_job_shares_a_flush_with_another(tmp_path: Path) -> None:
    """Both are written, neither is counted; one flush completes both."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        jobs = [await ingest.submit(numbered(1), collection) for collection in ("default", "books", "books")]
        for _ in jobs:
            progress = await ingest.claim()
            await ingest.write_next(progress)
            await ingest.commit.complete(progress)
        assert [await ingest.state(job.id) for job in jobs] == [("running", 0)] * 3

        await ingest.commit.flush()

        assert [await ingest.state(job.id) for job in jobs] == [("completed", 1)] * 3

    asyncio.run(scenario())


def test_a_cancelled_job_is_looked_at_again_before_its_next_write(tmp_path: Path) -> None:
    """The write is refused, and documents of before stay and are counted."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(2))
        progress = await ingest.claim()
        await ingest.write_next(progress)

        async with ingest.commit.exclusive():
            await ingest.jobs.cancel(job.id)
        with pytest.raises(JobCancelled):
            await ingest.write_next(progress)

        assert await ingest.state(job.id) == ("cancelled", 1)
        assert await ingest.is_stored("d-0")
        assert not await ingest.is_stored("d-1")

    asyncio.run(scenario())


def test_a_document_that_was_deleted_meanwhile_is_not_written(tmp_path: Path) -> None:
    """The job leaves it out, and counts it; the other documents of the batch come."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(2))
        progress = await ingest.claim()
        async with ingest.commit.exclusive():
            await ingest.jobs.record(Change("delete_document", "default", "d-0"))

        await ingest.write_next(progress)
        await ingest.write_next(progress)
        await ingest.commit.complete(progress)
        await ingest.commit.flush()

        assert await ingest.state(job.id) == ("completed", 2)
        assert [await ingest.is_stored(f"d-{number}") for number in range(2)] == [False, True]

    asyncio.run(scenario())


def test_a_job_may_be_dropped_during_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker learns that another gateway has the job while a deletion flushes."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        await ingest.submit(numbered(1))
        progress = await ingest.claim()
        await ingest.write_next(progress)
        advance = ingest.jobs.advance

        async def advance_and_drop(job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
            await advance(job_id, processed, errors)
            ingest.commit.drop(progress.job)

        monkeypatch.setattr(ingest.jobs, "advance", advance_and_drop)
        await ingest.commit.flush()

        assert ingest.commit.pending_jobs == []

    asyncio.run(scenario())


def test_no_document_is_written_while_writes_are_paused(tmp_path: Path) -> None:
    """All earlier ones are counted inside of the pause, and the waiting write goes on after it."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(2))
        progress = await ingest.claim()
        await ingest.write_next(progress)

        async with ingest.commit.exclusive():
            assert await ingest.state(job.id) == ("running", 1)
            waiting = asyncio.create_task(ingest.write_next(progress))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            assert not await ingest.is_stored("d-1")
        await waiting

        assert await ingest.is_stored("d-1")

    asyncio.run(scenario())


def test_documents_that_cannot_be_flushed_are_written_again(tmp_path: Path) -> None:
    """After a failed fsync the next one may succeed without the data, so nothing is left to it."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(1))
        progress = await ingest.claim()
        await ingest.write_next(progress)
        await ingest.commit.complete(progress)

        with full_disk():
            await ingest.commit.flush()
        [(failed, error)] = ingest.commit.take_failures()
        assert (failed.id, type(error)) == (job.id, OSError)
        assert ingest.commit.take_failures() == []
        assert await ingest.state(job.id) == ("running", 0)
        assert ingest.commit.pending_jobs == []
        with pytest.raises(BackendUnavailable, match="written again"):
            await ingest.commit.complete(progress)

        progress = await ingest.claim()
        assert progress.processed == 0
        await ingest.write_next(progress)
        await ingest.commit.complete(progress)
        await ingest.commit.flush()
        assert await ingest.state(job.id) == ("completed", 1)
        assert ingest.commit.pending_jobs == []

    asyncio.run(scenario())


def test_a_damaged_collection_does_not_hold_up_another(tmp_path: Path) -> None:
    """None of its documents is counted, and the worker is told; a job of another in the same flush completes."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        broken, sound = await ingest.submit(numbered(1), "books"), await ingest.submit(numbered(1))
        for _ in (broken, sound):
            progress = await ingest.claim()
            await ingest.write_next(progress)
            await ingest.commit.complete(progress)

        shutil.rmtree(tmp_path / "vectors" / "books" / "shard" / "segments")
        await ingest.commit.flush()

        assert [failed.id for failed, _ in ingest.commit.take_failures()] == [broken.id]
        assert await ingest.state(broken.id) == ("running", 0)
        assert await ingest.state(sound.id) == ("completed", 1)

    asyncio.run(scenario())


def test_the_jobs_of_a_deleted_collection_are_dropped(tmp_path: Path) -> None:
    """Their documents are not counted: they are gone."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(1), "books")
        progress = await ingest.claim()
        await ingest.write_next(progress)
        await ingest.commit.complete(progress)

        await ingest.jobs.cancel_all("books")
        await ingest.store.delete("books")
        await ingest.commit.flush()

        assert await ingest.state(job.id) == ("cancelled", 0)
        assert ingest.commit.pending_jobs == []

    asyncio.run(scenario())


def test_what_was_flushed_after_the_claim_is_not_written_again(tmp_path: Path) -> None:
    """A deletion flushes between the claim and the first write: otherwise the deleted document would come back."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        job = await ingest.submit(numbered(2))
        await ingest.write_next(await ingest.claim())
        claimed = await ingest.jobs.claim()
        assert claimed is not None
        assert claimed.processed_documents == 0
        async with ingest.commit.exclusive():
            await ingest.store.collection("default").delete("d-0")

        progress = await ingest.commit.resume(claimed)

        assert progress.processed == 1
        await ingest.write_next(progress)
        await ingest.commit.complete(progress)
        await ingest.commit.flush()
        assert await ingest.state(job.id) == ("completed", 2)
        assert not await ingest.is_stored("d-0")

    asyncio.run(scenario())


def test_a_skipped_document_is_listed_once(tmp_path: Path) -> None:
    """With its position, its id and the reason; it counts as processed after the flush."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        documents = numbered(2)
        job = await ingest.submit(documents)
        progress = await ingest.claim()
        await ingest.write_next(progress)
        await ingest.commit.skip(progress, documents[1], "it is too long")
        for _ in range(2):
            await ingest.commit.flush()

        status = await ingest.jobs.status(job.id)
        assert status is not None
        assert status.processed_documents == 2
        assert [(error.position, error.document_id, error.message) for error in status.errors] == [
            (1, "d-1", "it is too long")
        ]

    asyncio.run(scenario())
