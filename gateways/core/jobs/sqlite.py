"""The job queue in SQLite: a journal in WAL mode with `synchronous=FULL`, so a job is on disk before its 202."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from gateways.core.jobs import sqlite_compaction, sqlite_order
from gateways.core.jobs.base import Change, Document, DocumentError, Job, Status
from gateways.core.jobs.rows import (
    JOB_COLUMNS,
    finished_conflict,
    retry_conflict,
    to_job,
    to_json,
)
from gateways.core.jobs.sqlite_connection import SqliteConnection
from gateways.core.jobs.sqlite_schema import open_schema
from gateways.core.persistence.data_dir import JOURNAL
from gateways.core.profiles import Chunking
from gateways.core.settings import StoreSettings

_QUEUED = """
SELECT EXISTS (
    SELECT 1 FROM documents JOIN jobs ON jobs.number = documents.job
    WHERE documents.id = ?2 AND jobs.collection = ?1 AND finished_at IS NULL AND documents.position >= processed
    AND NOT EXISTS (
        SELECT 1 FROM changes
        WHERE kind = 'delete_document' AND changes.collection = ?1 AND document = ?2 AND changes.job > jobs.number
    )
)
"""
# The first status that finishes a job stays: a worker at its last step cannot undo a cancellation.
_FINISH = "UPDATE jobs SET status = ?, error = ?, finished_at = ? WHERE finished_at IS NULL AND "


class SqliteJobs:
    """The job queue of one process."""

    poll_s = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = SqliteConnection(path, open_schema)

    def failure(self) -> str | None:
        """Return None: there is no lease to renew."""
        return None

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """Write a pending job. Raises Conflict if `key` was used for other documents."""
        job_id = await self._connection.call(
            lambda: sqlite_order.submit(self._connection.engine, collection, documents, key, chunk)
        )
        return (await self._connection.call(lambda: self._select_jobs("WHERE id = ?", job_id)))[0]

    async def status(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        jobs = await self._connection.call(lambda: self._select_jobs("WHERE id = ?", job_id))
        return jobs[0] if jobs else None

    async def recent(self, limit: int, status: Status | None = None, after: str | None = None) -> list[Job]:
        """Return the newest jobs first, of one status or of all; with `after`, those accepted before that job."""
        clause = """
            WHERE (?1 IS NULL OR status = ?1) AND (?3 IS NULL OR number < (SELECT number FROM jobs WHERE id = ?3))
            ORDER BY number DESC LIMIT ?2
        """
        return await self._connection.call(lambda: self._select_jobs(clause, status, limit, after))

    async def claim(
        self, excluded: Sequence[str] = (), waiting: Sequence[str] = (), served: Sequence[str] = ()
    ) -> Job | None:
        """Claim the next unfinished job, including one that a killed process left running."""
        job_id = await self._connection.call(
            lambda: sqlite_order.claim(self._connection.engine, excluded, waiting, served)
        )
        return await self.status(job_id) if job_id else None

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        query = (
            "SELECT documents.id, text, metadata FROM documents JOIN jobs ON jobs.number = job "
            "WHERE jobs.id = ? AND position >= ? ORDER BY position LIMIT ?"
        )
        rows = await self._connection.call(
            lambda: self._connection.engine.execute(query, (job_id, start, limit)).fetchall()
        )
        return [Document(document_id, text, orjson.loads(metadata)) for document_id, text, metadata in rows]

    async def queued(self, collection: str, document_id: str) -> bool:
        """Return whether an unfinished job has yet to write this document."""
        return await self._connection.call(
            lambda: bool(self._connection.engine.execute(_QUEUED, (collection, document_id)).fetchone()[0])
        )

    @asynccontextmanager
    async def write_lease(self, job: Job, document_ids: Sequence[str]) -> AsyncIterator[AbstractSet[str]]:
        """Yield the ids that were deleted or replaced since the job was accepted. Raises JobCancelled, JobLost."""
        yield await self._connection.call(lambda: sqlite_order.outdated(self._connection.engine, job, document_ids))

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Record the number of processed documents, and their new errors."""
        job = await self.status(job_id)
        all_errors = [*(job.errors if job else ()), *errors]
        update = "UPDATE jobs SET processed = ?, errors = ? WHERE id = ?"
        await self._connection.execute(update, processed, to_json(all_errors), job_id)

    async def cancel(self, job_id: str) -> Job | None:
        """Mark a job cancelled. Raises Conflict if it is finished."""
        return await self._connection.call(lambda: self._cancel(job_id))

    async def cancel_all(self, collection: str) -> None:
        """Mark every unfinished job of a collection cancelled."""
        await self._connection.execute(_FINISH + "collection = ?", "cancelled", None, time.time(), collection)

    async def complete(self, job_id: str) -> None:
        """Mark a job completed, unless it was cancelled."""
        await self._connection.execute(_FINISH + "id = ?", "completed", None, time.time(), job_id)

    async def fail(self, job_id: str, error: str) -> None:
        """Mark a job failed, unless it was cancelled."""
        await self._connection.execute(_FINISH + "id = ?", "failed", error, time.time(), job_id)

    async def report(self, job_id: str, error: str | None) -> None:
        """Record why an unfinished job waits."""
        update = "UPDATE jobs SET error = ? WHERE id = ? AND finished_at IS NULL"
        await self._connection.execute(update, error, job_id)

    async def isolate(self, job_id: str, isolated: int) -> None:
        """Record that documents before this position go to the model one at a time."""
        await self._connection.execute("UPDATE jobs SET isolated = ? WHERE id = ?", isolated, job_id)

    async def retry(self, job_id: str) -> Job | None:
        """Queue a failed job again. Raises Conflict."""
        queued = await self._connection.call(lambda: sqlite_order.retry(self._connection.engine, job_id))
        job = await self.status(job_id)
        if job and not queued:
            raise retry_conflict(job)
        return job

    async def record(self, change: Change) -> None:
        """Record a change after all jobs that were accepted so far."""
        await self._connection.call(lambda: self._record(change))

    async def compact(self) -> int:
        """Erase what no job, retry or replay needs. Returns the number of erased documents."""
        return await sqlite_compaction.compact(self._connection)

    async def size_bytes(self) -> int:
        """Return the size of the journal."""
        return sum(file.stat().st_size for file in self._path.parent.glob(f"{self._path.name}*"))

    async def close(self) -> None:
        """Close the journal."""
        self._connection.close()

    def _record(self, change: Change) -> None:
        profile = to_json(change.profile) if change.profile else None
        self._connection.engine.execute(
            "INSERT INTO changes (job, position, kind, collection, document, profile, created_at) "
            "VALUES ((SELECT coalesce(max(number), 0) + 1 FROM jobs), 0, ?, ?, ?, ?, ?)",
            (change.kind, change.collection, change.document_id, profile, time.time()),
        )

    def _cancel(self, job_id: str) -> Job | None:
        values = ("cancelled", None, time.time(), job_id)
        cancelled = self._connection.engine.execute(_FINISH + "id = ?", values).rowcount
        jobs = self._select_jobs("WHERE id = ?", job_id)
        if jobs and not cancelled:
            raise finished_conflict(jobs[0])
        return jobs[0] if jobs else None

    def _select_jobs(self, clause: str, *values: Any) -> list[Job]:
        select = f"SELECT {JOB_COLUMNS} FROM jobs {clause}"  # noqa: S608 # nosec B608 our own words
        return [to_job(row) for row in self._connection.engine.execute(select, values)]


async def open_jobs(settings: StoreSettings) -> SqliteJobs:
    """Open or create the journal below DATA_DIR."""
    return SqliteJobs(settings.data_dir / JOURNAL)
