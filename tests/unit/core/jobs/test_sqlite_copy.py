"""A copy of the SQLite journal holds what was there when it began, and nothing that came later."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateways.core.jobs.base import Document, Job
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.jobs.sqlite_copy import JournalCopy

LARGE = "a text that takes some pages " * 10_000


async def submit(jobs: SqliteJobs, name: str) -> Job:
    """Submit one large document."""
    return await jobs.submit("default", [Document(name, LARGE)], None)


def test_a_copy_holds_the_journal_of_one_moment(tmp_path: Path) -> None:
    """Jobs that are accepted, advanced or completed later do not change it."""
    asyncio.run(check_copy(tmp_path))


async def check_copy(folder: Path) -> None:
    """Copy a journal while it is written to."""
    jobs = SqliteJobs(folder / "jobs.sqlite")
    first, second = await submit(jobs, "a"), await submit(jobs, "b")
    await jobs.complete(first.id)
    moment = JournalCopy(folder / "jobs.sqlite")
    await jobs.complete(second.id)
    late = await submit(jobs, "c")
    await jobs.compact()
    moment.write(folder / "copy.sqlite")
    moment.close()
    await submit(jobs, "d")
    await jobs.close()

    copy = SqliteJobs(folder / "copy.sqlite")
    copied = [await copy.status(job.id) for job in (first, second, late)]
    assert [job and job.status for job in copied] == ["completed", "pending", None]
    assert [document.id for document in await copy.documents(second.id, 0, 10)] == ["b"]
    await copy.close()
