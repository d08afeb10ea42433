"""The job queue in SQLite, on a real disk."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from pathlib import Path

import orjson
import pytest

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Document, Job
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.profiles import Chunking

DOCUMENTS = [Document("a", "one"), Document("b", "two", {"n": 1})]


def submit(jobs: SqliteJobs, collection: str = "books", chunk: Chunking | None = None) -> Job:
    """Return a new job."""
    return asyncio.run(jobs.submit(collection, DOCUMENTS, None, chunk))


def status(jobs: SqliteJobs, job: Job) -> str:
    """Return the status of an existing job."""
    stored = asyncio.run(jobs.status(job.id))
    assert stored is not None
    return stored.status


def test_a_cancelled_job_is_cancelled_for_good(tmp_path: Path) -> None:
    """Neither the last step of a worker nor a restart changes its status."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    pending, running = submit(jobs), submit(jobs)
    assert asyncio.run(jobs.claim()) is not None

    for job in (pending, running):
        cancelled = asyncio.run(jobs.cancel(job.id))
        assert cancelled is not None
        assert (cancelled.status, cancelled.finished_at is not None) == ("cancelled", True)
    asyncio.run(jobs.complete(running.id))
    asyncio.run(jobs.fail(pending.id, "too late"))
    asyncio.run(jobs.close())

    reopened = SqliteJobs(tmp_path / "jobs.sqlite")
    assert [status(reopened, job) for job in (pending, running)] == ["cancelled", "cancelled"]
    assert asyncio.run(reopened.claim()) is None


def test_a_finished_job_is_not_cancelled(tmp_path: Path) -> None:
    """The Conflict names its status. The result for an unknown job is None."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    job = submit(jobs)
    asyncio.run(jobs.complete(job.id))

    with pytest.raises(Conflict, match="completed"):
        asyncio.run(jobs.cancel(job.id))

    assert status(jobs, job) == "completed"
    assert asyncio.run(jobs.cancel("no-such-job")) is None


def test_all_jobs_of_a_collection_are_cancelled(tmp_path: Path) -> None:
    """Finished jobs, and jobs of other collections, keep their status."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    completed, pending, film = submit(jobs), submit(jobs), submit(jobs, "films")
    asyncio.run(jobs.complete(completed.id))

    asyncio.run(jobs.cancel_all("books"))

    assert [status(jobs, job) for job in (completed, pending, film)] == ["completed", "cancelled", "pending"]
    assert [job.id for job in asyncio.run(jobs.recent(10, "pending"))] == [film.id]
    assert len(asyncio.run(jobs.recent(10))) == 3


def test_a_job_keeps_its_chunking(tmp_path: Path) -> None:
    """An interrupted job is cut the same way after a restart."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    job, whole = submit(jobs, chunk=Chunking(64, 8)), submit(jobs)
    asyncio.run(jobs.close())

    reopened = SqliteJobs(tmp_path / "jobs.sqlite")
    stored = [asyncio.run(reopened.status(job_id)) for job_id in (job.id, whole.id)]
    assert [job.chunk if job else "missing" for job in stored] == [Chunking(64, 8), None]
    assert asyncio.run(reopened.documents(job.id, 1, 5)) == DOCUMENTS[1:]


def test_the_order_of_keys_makes_no_other_request(tmp_path: Path) -> None:
    """Many languages write the keys of an object in any order when the client tries again."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    first, again = ([Document("a", "one", metadata)] for metadata in ({"x": 1, "y": [2]}, {"y": [2], "x": 1}))

    job = asyncio.run(jobs.submit("books", first, "key", None))

    assert asyncio.run(jobs.submit("books", again, "key", None)).id == job.id
    with pytest.raises(Conflict):
        asyncio.run(jobs.submit("books", [Document("a", "one", {"x": 1, "y": [3]})], "key", None))


def test_a_key_of_an_earlier_version_answers_with_its_job(tmp_path: Path) -> None:
    """Its hash was made of the keys in the order in which they came."""
    jobs = SqliteJobs(tmp_path / "jobs.sqlite")
    documents = [Document("a", "one", {"y": 1, "x": 2})]
    job = asyncio.run(jobs.submit("books", documents, "key", None))
    content = hashlib.sha256(orjson.dumps(["books", documents, None])).hexdigest()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as engine:
        engine.execute("UPDATE jobs SET content_hash = ?", (content,))

    assert asyncio.run(jobs.submit("books", documents, "key", None)).id == job.id
