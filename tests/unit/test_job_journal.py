"""The job journal on a real disk: what was cancelled stays cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Document, Job
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.profiles import Chunking

DOCUMENTS = [Document("a", "one"), Document("b", "two", {"n": 1})]


def submitted(jobs: SqliteJobs, collection: str = "books", chunk: Chunking | None = None) -> Job:
    """Return a new job."""
    return asyncio.run(jobs.submit(collection, DOCUMENTS, None, chunk))


def status(jobs: SqliteJobs, job: Job) -> str:
    """Return the status of a job that is there."""
    found = asyncio.run(jobs.status(job.id))
    assert found is not None
    return found.status


def test_a_cancelled_job_is_cancelled_for_good(tmp_path: Path) -> None:
    """Neither a worker at its last step nor a restart brings it back."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    pending, running = submitted(jobs), submitted(jobs)
    assert asyncio.run(jobs.claim()) is not None

    for job in (pending, running):
        cancelled = asyncio.run(jobs.cancel(job.id))
        assert cancelled is not None
        assert (cancelled.status, cancelled.finished_at is not None) == ("cancelled", True)
    asyncio.run(jobs.complete(running.id))
    asyncio.run(jobs.fail(pending.id, "too late"))
    asyncio.run(jobs.close())

    again = SqliteJobs(tmp_path / "jobs.sqlite")
    assert [status(again, job) for job in (pending, running)] == ["cancelled", "cancelled"]
    assert asyncio.run(again.claim()) is None


def test_a_finished_job_is_not_cancelled(tmp_path: Path) -> None:
    """Conflict says what it is; an unknown one is None."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    job = submitted(jobs)
    asyncio.run(jobs.complete(job.id))

    with pytest.raises(Conflict, match="completed"):
        asyncio.run(jobs.cancel(job.id))

    assert status(jobs, job) == "completed"
    assert asyncio.run(jobs.cancel("no-such-job")) is None


def test_all_jobs_of_a_collection_are_cancelled(tmp_path: Path) -> None:
    """Finished ones and those of other collections are left as they are."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    done, open_one, other = submitted(jobs), submitted(jobs), submitted(jobs, "films")
    asyncio.run(jobs.complete(done.id))

    asyncio.run(jobs.cancel_all("books"))

    assert [status(jobs, job) for job in (done, open_one, other)] == ["completed", "cancelled", "pending"]
    assert [job.id for job in asyncio.run(jobs.recent(10, "pending"))] == [other.id]
    assert len(asyncio.run(jobs.recent(10))) == 3


def test_a_job_remembers_how_it_is_cut(tmp_path: Path) -> None:
    """Also after a restart, so that a job that was interrupted goes on as it began."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    job, whole = submitted(jobs, chunk=Chunking(64, 8)), submitted(jobs)
    asyncio.run(jobs.close())

    again = SqliteJobs(tmp_path / "jobs.sqlite")
    found = [asyncio.run(again.status(its.id)) for its in (job, whole)]
    assert [its.chunk if its else "missing" for its in found] == [Chunking(64, 8), None]
    assert asyncio.run(again.documents(job.id, 1, 5)) == DOCUMENTS[1:]
